-- Who has been changed, by whomever: gateways read here whom to forget. An empty name is
-- everybody.
CREATE TABLE user_changes (
    seq  INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    at   BIGINT NOT NULL DEFAULT (unixepoch())
);

CREATE TRIGGER users_inserted AFTER INSERT ON users BEGIN
    INSERT INTO user_changes (name) VALUES (NEW.name);
END;

CREATE TRIGGER users_deleted AFTER DELETE ON users BEGIN
    INSERT INTO user_changes (name) VALUES (OLD.name);
END;

CREATE TRIGGER users_updated AFTER UPDATE ON users BEGIN
    INSERT INTO user_changes (name) VALUES (NEW.name);
    INSERT INTO user_changes (name) SELECT OLD.name WHERE OLD.name <> NEW.name;
END;

CREATE TRIGGER user_groups_updated AFTER UPDATE ON user_groups BEGIN
    INSERT INTO user_changes (name) VALUES ('');
END;
