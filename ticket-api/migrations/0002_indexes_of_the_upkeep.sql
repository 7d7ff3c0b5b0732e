-- Valid tickets are counted by event, of the events that have not ended.
CREATE INDEX events_by_start ON events (starts_at_ms);
CREATE INDEX tickets_of_event ON tickets (event_id);
