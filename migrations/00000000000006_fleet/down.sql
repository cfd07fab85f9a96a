DROP TRIGGER wake_vehicle_queue ON vehicles;
DROP TRIGGER detach_queue_head ON vehicles;
DROP TRIGGER announce_vehicle ON vehicles;
DROP FUNCTION wake_vehicle_queue();
DROP FUNCTION detach_queue_head();
DROP FUNCTION announce_vehicle();
