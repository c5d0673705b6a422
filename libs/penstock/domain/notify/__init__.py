"""Who is told what, and when: rules over facts, incidents, and the timetable of deliveries. Pure."""
