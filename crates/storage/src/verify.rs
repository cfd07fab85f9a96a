//! Compares a live schema with what the migrations define.
//!
//! The migrations are run in a schema of their own, inside a transaction that is rolled back;
//! then both schemas are read from the catalogue. So there is no second description of the
//! tables that could be wrong.

use std::collections::BTreeMap;

use diesel::{
    prelude::*,
    sql_query,
    sql_types::{BigInt, Text},
};
use diesel_async::{
    AnsiTransactionManager, AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};

use crate::{
    Connection, StorageError, migrations,
    seeds::{self, SeedFile},
};

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// One line for each kind of thing that was compared.
    pub counts: Vec<Count>,
    /// Everything that is not as it should be; empty when all is well.
    pub differences: Vec<Difference>,
}

/// How many things of one kind there should be and are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Such as `column`, or `seeds in users`.
    pub kind: String,
    /// How many there should be.
    pub expected: usize,
    /// How many there are.
    pub found: usize,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Such as `column`.
    pub kind: String,
    /// Such as `users.email`.
    pub name: String,
    /// Its definition in the migrations; nothing when it should not be there.
    pub expected: Option<String>,
    /// Its definition in the database; nothing when it is missing.
    pub found: Option<String>,
}

/// Compares the schema of the database at `url` with the migrations, and the seeds of each file of which
/// it has any.
///
/// # Errors
///
/// When the database is away, or its user may not create a schema.
pub async fn run(url: &str) -> Result<Verification, StorageError> {
    let url = url.to_owned();
    migrations::on_own_runtime(async move || {
        let mut live = migrations::connect(&url).await?;
        let found = facts(&mut live, "public").await?;
        let expected = expected(migrations::connect(&url).await?).await?;
        let mut verification = compare(&expected, &found);
        count_seeds(&mut live, &found, &mut verification).await?;
        Ok(verification)
    })
    .await
}

type Facts = BTreeMap<(String, String), String>;

async fn expected(mut connection: Connection) -> Result<Facts, StorageError> {
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

/// Everything that defines a schema: a kind, a name and a definition without the schema's name.
async fn facts(connection: &mut Connection, schema: &str) -> Result<Facts, StorageError> {
    #[derive(QueryableByName)]
    struct Fact {
        #[diesel(sql_type = Text)]
        kind: String,
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Text)]
        definition: String,
    }
    // With nothing on the path, every name in a definition is printed with its schema.
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

fn compare(expected: &Facts, found: &Facts) -> Verification {
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
    Verification {
        counts,
        differences,
    }
}

/// A missing table says enough without each of its columns and indexes.
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

/// A database that was seeded from a file has all of its seeds, or somebody has removed some. An older
/// release had fewer files.
async fn count_seeds(
    connection: &mut Connection,
    facts: &Facts,
    verification: &mut Verification,
) -> Result<(), StorageError> {
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
            verification.differences.push(Difference {
                kind: kind.clone(),
                name: table.to_owned(),
                expected: Some(format!("{expected} rows")),
                found: Some(format!("{found} rows")),
            });
        }
        verification.counts.push(Count {
            kind,
            expected: usize::try_from(expected).unwrap_or_default(),
            found: usize::try_from(found).unwrap_or_default(),
        });
    }
    Ok(())
}

/// How many rows of each table a file of seeds makes, and how many of these are there.
async fn count_rows(
    connection: &mut Connection,
    facts: &Facts,
    file: &SeedFile,
) -> Result<Vec<(&'static str, i64, i64)>, StorageError> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let mut counts = Vec::new();
    for (table, key, first, last) in file.rows {
        if !facts.contains_key(&("column".to_owned(), format!("{table}.{key}"))) {
            // The comparison of the schemas has named it already.
            continue;
        }
        let row: Row = sql_query(format!(
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
