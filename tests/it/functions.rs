//! The example of every function is a query with the result that its documentation shows.

use arrow::array::{Array, RecordBatch};
use lakebed::functions::scalar;
use lakebed::session::{Session, StatementResult};
use lakebed::vector::display::format_value;

#[test]
fn examples_of_scalar_functions_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session::new(Default::default(), folder.path().to_str().unwrap()).unwrap();
    let scalar_functions = scalar::FUNCTIONS.iter().flat_map(|group| group.iter()).map(|f| f.doc);
    let with_lambdas = scalar::lambda::FUNCTIONS
        .iter()
        .flat_map(|group| group.iter())
        .map(|f| f.doc);
    let wrong: Vec<String> = scalar_functions
        .chain(with_lambdas)
        .filter_map(|doc| {
            let (query, expected) = doc.example;
            let found = single_value(&session, query).unwrap_or_else(|e| format!("error: {e}"));
            (found != expected).then(|| format!("{query}\n  is    {found}\n  not   {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The only value of the only row, as text.
fn single_value(session: &Session, query: &str) -> lakebed::Result<String> {
    let mut text = String::new();
    for result in session.execute(query)? {
        let StatementResult::Rows(rows) = result? else { continue };
        for batch in rows {
            let batch: RecordBatch = batch?;
            let column = batch.column(0);
            for row in 0..batch.num_rows() {
                match column.is_null(row) || column.data_type().is_null() {
                    true => text.push_str("NULL"),
                    false => format_value(column.as_ref(), row, &mut text),
                }
            }
        }
    }
    Ok(text)
}
