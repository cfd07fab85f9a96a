-- A statement that inserts commands together with their queue entries names the submitter: the trigger
-- could not see the commands of its own statement.
DROP TRIGGER set_queue_user ON command_queue;
CREATE TRIGGER set_queue_user
    BEFORE INSERT ON command_queue FOR EACH ROW
    WHEN (NEW.user_id IS NULL)
    EXECUTE FUNCTION set_queue_user();
