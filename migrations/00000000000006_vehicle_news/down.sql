DROP TRIGGER announce_vehicle ON vehicles;
DROP FUNCTION announce_vehicle();
