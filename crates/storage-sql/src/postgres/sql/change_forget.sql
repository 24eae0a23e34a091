-- Forgets the removals before the newest $1, and notes up to where.
WITH cut AS (
    SELECT revision FROM portolan.changes WHERE removed ORDER BY revision DESC LIMIT 1 OFFSET $1
), dropped AS (
    DELETE FROM portolan.changes WHERE removed AND revision <= (SELECT revision FROM cut)
)
UPDATE portolan.numbers SET value = cut.revision FROM cut WHERE name = 'forgotten';
