use tokio_postgres::Client;

/// The tables, without the one in which diesel records the migrations.
pub(crate) async fn tables(client: &Client) -> Vec<String> {
    lines(
        client,
        "SELECT relname::text FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND relname <> '__diesel_schema_migrations' ORDER BY 1",
    )
    .await
}

/// Such as `users.role character varying(20) not null`, in order of definition.
pub(crate) async fn columns(client: &Client) -> Vec<String> {
    lines(
        client,
        "SELECT relname || '.' || attname || ' ' || format_type(atttypid, atttypmod)
                || CASE WHEN attnotnull THEN ' not null' ELSE '' END
                || coalesce(' default ' || pg_get_expr(adbin, adrelid), '')
         FROM pg_attribute
         JOIN pg_class ON pg_class.oid = attrelid
         LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
           AND relname <> '__diesel_schema_migrations' AND attnum > 0 AND NOT attisdropped
         ORDER BY relname, attnum",
    )
    .await
}

/// Such as `commands.user_id to users.user_id, delete c`: the letter is PostgreSQL's, `c` for
/// cascade and `n` for set null. Deferrable ones end with `deferred`.
pub(crate) async fn foreign_keys(client: &Client) -> Vec<String> {
    lines(
        client,
        "SELECT conrelid::regclass || '.' || here.attname || ' to '
                || confrelid::regclass || '.' || there.attname || ', delete ' || confdeltype::text
                || CASE WHEN condeferred THEN ', deferred' ELSE '' END
         FROM pg_constraint
         JOIN pg_attribute here ON here.attrelid = conrelid AND here.attnum = conkey[1]
         JOIN pg_attribute there ON there.attrelid = confrelid AND there.attnum = confkey[1]
         WHERE contype = 'f' AND connamespace = 'public'::regnamespace
           AND cardinality(conkey) = 1 AND convalidated
         ORDER BY 1",
    )
    .await
}

/// Such as `chk_users_role on users: engineer, admin`, with the string literals of the check,
/// or its definition if it has none.
pub(crate) async fn checks(client: &Client) -> Vec<String> {
    lines(
        client,
        "SELECT conname || ' on ' || conrelid::regclass || ': '
                || coalesce((SELECT string_agg(word[1], ', ' ORDER BY place)
                             FROM regexp_matches(pg_get_constraintdef(oid), '''([^'']+)''', 'g')
                                  WITH ORDINALITY AS found (word, place)),
                            pg_get_constraintdef(oid))
         FROM pg_constraint
         WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND convalidated
         ORDER BY 1",
    )
    .await
}

/// Such as `unique unq_users_email on users (email)`, without those of the primary keys.
pub(crate) async fn indexes(client: &Client) -> Vec<String> {
    lines(client, &indexes_where("NOT indisprimary")).await
}

pub(crate) async fn primary_keys(client: &Client) -> Vec<String> {
    lines(client, &indexes_where("indisprimary")).await
}

/// The triggers, by their definitions, the functions and the types of ranges.
pub(crate) async fn triggers_and_functions(client: &Client) -> Vec<String> {
    lines(
        client,
        "SELECT pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger
         JOIN pg_class ON pg_class.oid = tgrelid
         WHERE relnamespace = 'public'::regnamespace AND NOT tgisinternal
         UNION ALL
         SELECT pg_get_functiondef(oid) FROM pg_proc
         WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
           AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass
                           AND objid = pg_proc.oid AND deptype = 'i')
         UNION ALL
         SELECT 'range ' || rngtypid::regtype || ' of ' || rngsubtype::regtype FROM pg_range
         JOIN pg_type ON pg_type.oid = rngtypid
         WHERE typnamespace = 'public'::regnamespace ORDER BY 1",
    )
    .await
}

/// Such as `exc_booking_slots_service_center_id_during on booking_slots: EXCLUDE USING gist (…)`.
pub(crate) async fn exclusions(client: &Client) -> Vec<String> {
    lines(
        client,
        "SELECT conname || ' on ' || conrelid::regclass || ': ' || pg_get_constraintdef(oid)
         FROM pg_constraint
         WHERE contype = 'x' AND connamespace = 'public'::regnamespace ORDER BY 1",
    )
    .await
}

/// Such as `vehicles: The fleet.`, with the comments of the columns.
pub(crate) async fn comments(client: &Client) -> Vec<String> {
    lines(
        client,
        "SELECT relname || coalesce('.' || attname, '') || ': ' || description
         FROM pg_description
         JOIN pg_class ON pg_class.oid = objoid AND classoid = 'pg_class'::regclass
         LEFT JOIN pg_attribute ON attrelid = objoid AND attnum = objsubid AND objsubid > 0
         WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
    )
    .await
}

/// Everything above in one list.
pub(crate) async fn all(client: &Client) -> Vec<String> {
    let mut all = tables(client).await;
    all.extend(columns(client).await);
    all.extend(foreign_keys(client).await);
    all.extend(checks(client).await);
    all.extend(indexes(client).await);
    all.extend(primary_keys(client).await);
    all.extend(exclusions(client).await);
    all.extend(triggers_and_functions(client).await);
    all.extend(comments(client).await);
    all
}

pub(crate) async fn lines(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn indexes_where(condition: &str) -> String {
    format!(
        "SELECT CASE WHEN indisunique THEN 'unique ' ELSE '' END || indexrelid::regclass || ' on '
                || indrelid::regclass || ' ('
                || (SELECT string_agg(pg_get_indexdef(indexrelid, place, true), ', ' ORDER BY place)
                    FROM generate_series(1, indnkeyatts) place)
                || ')' || CASE WHEN indpred IS NULL THEN '' ELSE ' partly' END
         FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
         WHERE relnamespace = 'public'::regnamespace
           AND relname <> '__diesel_schema_migrations' AND indisvalid AND {condition}
         ORDER BY indrelid::regclass::text, 1"
    )
}
