-- Who has been changed, by whomever: gateways read here whom to forget. An empty name is
-- everybody.
CREATE TABLE user_changes (
    seq  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL,
    at   BIGINT NOT NULL DEFAULT extract(epoch FROM now())::BIGINT
);

-- A row with a lower number must not appear after one with a higher number has been read.
-- So those who write take turns until they commit, from before they lock a user, as
-- there would be deadlocks otherwise. Readers do not wait. A role that writes users needs
-- INSERT and UPDATE on user_changes as well.
CREATE FUNCTION user_changes_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE user_changes IN EXCLUSIVE MODE;
    RETURN NULL;
END
$$;

CREATE FUNCTION user_changes_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'user_groups' THEN
        INSERT INTO user_changes (name) VALUES ('');
        RETURN NULL;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO user_changes (name) VALUES (NEW.name);
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND OLD.name <> NEW.name THEN
        INSERT INTO user_changes (name) VALUES (OLD.name);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER users_turn BEFORE INSERT OR UPDATE OR DELETE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION user_changes_turn();
CREATE TRIGGER users_note AFTER INSERT OR UPDATE OR DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION user_changes_note();
CREATE TRIGGER user_groups_turn BEFORE UPDATE ON user_groups
    FOR EACH STATEMENT EXECUTE FUNCTION user_changes_turn();
CREATE TRIGGER user_groups_note AFTER UPDATE ON user_groups
    FOR EACH ROW EXECUTE FUNCTION user_changes_note();
