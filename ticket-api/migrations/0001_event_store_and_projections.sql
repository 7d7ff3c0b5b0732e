-- One dialect for SQLite and PostgreSQL: text, bigint, and times in milliseconds since the Unix epoch.

-- The truth: rows are only ever added. The key makes two writers of one stream collide instead of interleave.
CREATE TABLE event_store (
    stream TEXT NOT NULL,
    version BIGINT NOT NULL CHECK (version > 0),
    type TEXT NOT NULL,
    payload TEXT NOT NULL,
    recorded_at_ms BIGINT NOT NULL,
    PRIMARY KEY (stream, version)
);

-- Projections: what the event store adds up to, written in the transaction that appends.
CREATE TABLE events (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    starts_at_ms BIGINT NOT NULL,
    capacity BIGINT NOT NULL,
    price_cents BIGINT NOT NULL,
    -- Reserved or sold. The check is the last line of defence against selling a seat twice.
    seats_taken BIGINT NOT NULL DEFAULT 0 CHECK (seats_taken BETWEEN 0 AND capacity),
    created_at_ms BIGINT NOT NULL
);

CREATE TABLE reservations (
    id TEXT NOT NULL PRIMARY KEY,
    event_id TEXT NOT NULL REFERENCES events (id),
    quantity BIGINT NOT NULL,
    -- active: may be ordered; paying: an order is being charged; paid and expired: final.
    status TEXT NOT NULL CHECK (status IN ('active', 'paying', 'paid', 'expired')),
    -- The order that is being charged, or was paid.
    order_id TEXT,
    expires_at_ms BIGINT NOT NULL
);
CREATE INDEX reservations_due ON reservations (status, expires_at_ms);
CREATE INDEX reservations_of_event ON reservations (event_id, status, expires_at_ms);

CREATE TABLE orders (
    id TEXT NOT NULL PRIMARY KEY,
    reservation_id TEXT NOT NULL REFERENCES reservations (id),
    event_id TEXT NOT NULL REFERENCES events (id),
    quantity BIGINT NOT NULL,
    amount_cents BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'paid', 'issued', 'declined', 'failed', 'refund_due')),
    updated_at_ms BIGINT NOT NULL
);
CREATE INDEX orders_unfinished ON orders (status, updated_at_ms);
CREATE INDEX orders_of_event ON orders (event_id, status);

CREATE TABLE tickets (
    id TEXT NOT NULL PRIMARY KEY,
    order_id TEXT NOT NULL REFERENCES orders (id),
    event_id TEXT NOT NULL REFERENCES events (id),
    issued_at_ms BIGINT NOT NULL
);

-- Sales of each event, kept by the consumer of the event bus and therefore a moment behind.
CREATE TABLE event_sales (
    event_id TEXT NOT NULL PRIMARY KEY REFERENCES events (id),
    orders BIGINT NOT NULL,
    tickets BIGINT NOT NULL,
    revenue_cents BIGINT NOT NULL,
    updated_at_ms BIGINT NOT NULL
);

-- Webhook deliveries that took effect, so that a repeated one does not.
CREATE TABLE webhook_deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    received_at_ms BIGINT NOT NULL
);

-- An event as the API shows it.
CREATE VIEW event_overview AS
SELECT
    e.id, e.name, e.starts_at_ms, e.capacity, e.seats_taken, e.price_cents, e.created_at_ms,
    COALESCE(s.orders, 0) AS orders, COALESCE(s.tickets, 0) AS tickets, COALESCE(s.revenue_cents, 0) AS revenue_cents
FROM events e LEFT JOIN event_sales s ON s.event_id = e.id;
