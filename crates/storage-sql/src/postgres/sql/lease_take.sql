INSERT INTO portolan.leases (key, fence, ends_at) VALUES ($1, $2, $3) ON CONFLICT (key) DO NOTHING;
