//! Comparison of a live schema with the migrations.
//!
//! The migrations are applied to a temporary schema in a transaction that is rolled back, and both schemas
//! are read from the system catalogs. So there is no second description of the tables that could be wrong.

use std::collections::BTreeMap;

use diesel::{prelude::*, sql_query, sql_types::Text};
use diesel_async::{
    AnsiTransactionManager, AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};

use crate::{
    Connection, Result, migrations,
    rows::Counted,
    seeds::{self, SeedFile},
};

/// The result of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaCheck {
    /// The number of objects of each kind.
    pub counts: Vec<Count>,
    /// The differences; empty if the schemas and the seeds agree.
    pub differences: Vec<Difference>,
}

/// The number of objects of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Such as `column`, or `seeds in users`.
    pub kind: String,
    /// The number that the migrations and the seeds define.
    pub expected: usize,
    /// The number in the database.
    pub found: usize,
}

/// An object that differs from its definition in the migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Such as `column`.
    pub kind: String,
    /// Such as `users.email`.
    pub name: String,
    /// Its definition in the migrations; `None` for an additional object.
    pub expected: Option<String>,
    /// Its definition in the database; `None` for a missing object.
    pub found: Option<String>,
}

/// Compares the schema of the database at `url` with the migrations, and counts the seeds of each file of
/// which it has any row.
///
/// # Errors
///
/// Fails also if the database user may not create a schema.
pub async fn run(url: &str) -> Result<SchemaCheck> {
    let url = url.to_owned();
    migrations::on_dedicated_runtime(async move || {
        let mut live = migrations::connect(&url).await?;
        let found = facts(&mut live, "public").await?;
        let expected = expected(migrations::connect(&url).await?).await?;
        let mut check = compare(&expected, &found);
        count_seeds(&mut live, &found, &mut check).await?;
        Ok(check)
    })
    .await
}

type Facts = BTreeMap<(String, String), String>;

async fn expected(mut connection: Connection) -> Result<Facts> {
    AnsiTransactionManager::begin_transaction(&mut connection).await?;
    connection
        .batch_execute("CREATE SCHEMA sovd_verify; SET LOCAL search_path = sovd_verify")
        .await?;
    let mut harness = AsyncMigrationHarness::new(connection);
    migrations::apply_all(&mut harness)?;
    let mut connection = harness.into_inner();
    let facts = facts(&mut connection, "sovd_verify").await?;
    AnsiTransactionManager::rollback_transaction(&mut connection).await?;
    Ok(facts)
}

/// Reads the objects of a schema: kind, name and definition without the name of the schema.
async fn facts(connection: &mut Connection, schema: &str) -> Result<Facts> {
    #[derive(QueryableByName)]
    struct Fact {
        #[diesel(sql_type = Text)]
        kind: String,
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Text)]
        definition: String,
    }
    // With an empty search path, definitions contain qualified names.
    connection.batch_execute("SET search_path = ''").await?;
    let facts: Vec<Fact> = sql_query(include_str!("verify/facts.sql"))
        .bind::<Text, _>(schema)
        .load(connection)
        .await?;
    Ok(facts
        .into_iter()
        .map(|fact| ((fact.kind, fact.name), fact.definition))
        .collect())
}

fn compare(expected: &Facts, found: &Facts) -> SchemaCheck {
    let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (kind, _) in expected.keys() {
        counts.entry(kind).or_default().0 += 1;
    }
    for (kind, _) in found.keys() {
        counts.entry(kind).or_default().1 += 1;
    }
    let all: BTreeMap<_, _> = expected.iter().chain(found).collect();
    let differences = all
        .keys()
        .filter(|key| expected.get(**key) != found.get(**key))
        .filter(|key| !is_part_of_missing_table(key, expected, found))
        .map(|key| Difference {
            kind: key.0.clone(),
            name: key.1.clone(),
            expected: expected.get(*key).cloned(),
            found: found.get(*key).cloned(),
        })
        .collect();
    let counts = counts
        .into_iter()
        .map(|(kind, (expected, found))| Count {
            kind: kind.to_owned(),
            expected,
            found,
        })
        .collect();
    SchemaCheck {
        counts,
        differences,
    }
}

/// Returns whether the object belongs to a missing table, which is reported without its columns and
/// indexes.
fn is_part_of_missing_table(key: &(String, String), expected: &Facts, found: &Facts) -> bool {
    let (kind, name) = key;
    let definition = expected.get(key).map_or("", String::as_str);
    let mut missing = expected
        .keys()
        .filter(|fact| fact.0 == "table" && !found.contains_key(*fact));
    missing.any(|(_, table)| match kind.as_str() {
        "index" => definition.contains(&format!(" ON {table} ")),
        _ => name.starts_with(&format!("{table}.")),
    })
}

/// Counts the seeds of each file of which any row exists: an older release had fewer files.
async fn count_seeds(
    connection: &mut Connection,
    facts: &Facts,
    check: &mut SchemaCheck,
) -> Result<()> {
    let mut counts: Vec<(&str, i64, i64)> = Vec::new();
    for file in seeds::FILES {
        let rows = count_rows(connection, facts, file).await?;
        if rows.iter().all(|(.., found)| *found == 0) {
            continue;
        }
        for (table, expected, found) in rows {
            match counts.iter_mut().find(|count| count.0 == table) {
                Some(count) => *count = (table, count.1 + expected, count.2 + found),
                None => counts.push((table, expected, found)),
            }
        }
    }
    for (table, expected, found) in counts {
        let kind = format!("seeds in {table}");
        if expected != found {
            check.differences.push(Difference {
                kind: kind.clone(),
                name: table.to_owned(),
                expected: Some(format!("{expected} rows")),
                found: Some(format!("{found} rows")),
            });
        }
        check.counts.push(Count {
            kind,
            expected: usize::try_from(expected).unwrap_or_default(),
            found: usize::try_from(found).unwrap_or_default(),
        });
    }
    Ok(())
}

/// Returns the expected and the actual number of rows of each table in a file of seeds.
async fn count_rows(
    connection: &mut Connection,
    facts: &Facts,
    file: &SeedFile,
) -> Result<Vec<(&'static str, i64, i64)>> {
    let mut counts = Vec::new();
    for (table, key, first, last) in file.rows {
        if !facts.contains_key(&("column".to_owned(), format!("{table}.{key}"))) {
            // The schema comparison reports it.
            continue;
        }
        let row: Counted = sql_query(format!(
            "SELECT count(*) FROM public.{table}
             WHERE {key}::text BETWEEN '00000000-0000-0000-0000-{first:012}'
                                   AND '00000000-0000-0000-0000-{last:012}'"
        ))
        .get_result(connection)
        .await?;
        counts.push((*table, last - first + 1, row.count));
    }
    Ok(counts)
}
