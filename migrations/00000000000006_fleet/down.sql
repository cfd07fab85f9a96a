DROP TRIGGER resume_vehicle_queue ON vehicles;
DROP TRIGGER mark_queue_unreachable ON vehicles;
DROP TRIGGER notify_vehicle_change ON vehicles;
DROP FUNCTION resume_vehicle_queue();
DROP FUNCTION mark_queue_unreachable();
DROP FUNCTION notify_vehicle_change();
