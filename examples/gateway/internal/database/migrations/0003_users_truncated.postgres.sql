-- TRUNCATE calls no triggers of rows, and changes everybody.
CREATE FUNCTION user_changes_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_changes (name) VALUES ('');
    RETURN NULL;
END
$$;

CREATE TRIGGER users_truncate_turn BEFORE TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION user_changes_turn();
CREATE TRIGGER users_truncated AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION user_changes_all();
