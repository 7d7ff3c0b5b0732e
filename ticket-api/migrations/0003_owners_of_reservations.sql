-- The subject of the token that reserved; null for what was reserved while the API ran open. An order's owner is in its stream.
ALTER TABLE reservations ADD COLUMN owner TEXT;
