DROP TRIGGER set_queue_user ON command_queue;
CREATE TRIGGER set_queue_user
    BEFORE INSERT ON command_queue FOR EACH ROW
    EXECUTE FUNCTION set_queue_user();
