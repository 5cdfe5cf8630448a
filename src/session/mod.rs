//! Sessions: text in, results out. Here parsing, binding, optimizing and running meet, and statements that are no queries
//! are carried out.

mod alter;
mod column;
mod dataframe;
mod ddl;
mod describe;
mod describe_table;
mod explain;
mod explain_io;
mod export;
mod guards;
mod insert;
mod listing;
mod load;
mod metadata;
mod overwrite;
mod partitions;
mod relations;
mod remove_files;
mod result;
mod show_create;
mod table_format;
mod transactions;
mod write;
mod write_format;

pub use column::{
    Column, WindowSpec, avg, call, case, col, count, count_all, count_distinct, dense_rank, expr, lag, lead, lit, max,
    min, rank, row_number, sum, when, window_function,
};
pub use dataframe::{DataFrame, GroupedData, WriteMode, WriteOptions};
pub use result::{Rows, StatementResult};
pub use transactions::TransactionCommand;

use crate::catalog::{Catalog, DEFAULT_DATABASE};
use crate::config::{Config, Guards};
use crate::error::{Error, Result};
use crate::logical::{Expr, LogicalPlan};
use crate::optimizer;
use crate::physical::{self, QueryStream};
use crate::runtime::{CancelToken, Current, MemoryArbiter, QueryContext, caught};
use crate::sql::{self, Statement, StatementText};
use parking_lot::{Mutex, RwLock};
use relations::Relations;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use tempfile::TempDir;

/// Stack of the threads that parse, bind and optimize: what nests deeply in the text nests deeply in the plan.
const STACK: usize = 512 << 20;

/// A connection to a warehouse: settings, the current database, prepared statements. Cheap to clone; clones are the same
/// session.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What was refused when the session began, and stays so.
    floor: Guards,
    /// As it was written.
    warehouse: String,
    catalog: Catalog,
    /// Where temporary tables have their files; removed with the session.
    temporary_files: Mutex<Option<TempDir>>,
    state: RwLock<State>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The process may end now.
        crate::storage::finish_keeping();
    }
}

#[derive(Debug)]
struct State {
    config: Arc<Config>,
    memory: Arc<MemoryArbiter>,
    database: String,
    /// What CREATE makes ends with the session and replaces what has its name.
    temporary_ddl: bool,
    prepared: HashMap<String, Statement>,
    /// The query that runs now or ran last, for cancelling and progress.
    running: Option<QueryContext>,
    /// The way to stop a statement that still lists files and looks into them.
    resolving: Option<CancelToken>,
}

impl Session {
    /// A session over the catalog in the folder `warehouse`, which is made when something is first remembered there.
    ///
    /// # Errors
    /// When `warehouse` is no local folder.
    pub fn new(config: Config, warehouse: &str) -> Result<Self> {
        guards::apply(&config, warehouse)?;
        let floor = config.guards.clone();
        let state = State {
            memory: MemoryArbiter::new(config.operator_memory()),
            config: Arc::new(config),
            database: DEFAULT_DATABASE.into(),
            temporary_ddl: false,
            prepared: HashMap::new(),
            running: None,
            resolving: None,
        };
        Ok(Self {
            shared: Arc::new(Shared {
                floor,
                warehouse: warehouse.to_string(),
                catalog: Catalog::new(warehouse)?,
                temporary_files: Mutex::default(),
                state: RwLock::new(state),
            }),
        })
    }

    /// Runs the statements of a text one after another, each when the iterator comes to it. After an error it ends.
    pub fn execute<'a>(&'a self, text: &str) -> Result<impl Iterator<Item = Result<StatementResult>> + use<'a>> {
        let mut statements = sql::split_statements(text)?.into_iter();
        let mut failed = false;
        Ok(std::iter::from_fn(move || {
            let statement = statements.next().filter(|_| !failed)?;
            let result = self.run(&statement);
            failed = result.is_err();
            Some(result)
        }))
    }

    /// Runs one statement of a text that was split before.
    pub fn run(&self, statement: &StatementText) -> Result<StatementResult> {
        on_big_stack(|| self.statement(&sql::parse_statement(statement)?, &[]))
    }

    /// A DataFrame over the rows of a query. It is bound now and read when an action asks for it.
    ///
    /// # Errors
    /// When the text is not one query, or does not bind.
    pub fn sql(&self, text: &str) -> Result<DataFrame> {
        let plan = on_big_stack(|| match sql::parse(text)?.as_slice() {
            [Statement::Query(query)] => self.bind(query, &[]),
            [_] => Err(Error::plan("a DataFrame is made from a query").with_hint("run other statements with execute")),
            other => Err(Error::plan(format!(
                "expected one query, found {} statements",
                other.len()
            ))),
        })?;
        Ok(DataFrame::new(self.clone(), plan))
    }

    /// The way of a query, in one line.
    fn query(&self, query: &sqlparser::ast::Query, parameters: &[Expr]) -> Result<QueryStream> {
        self.bind(query, parameters)
            .and_then(|plan| self.optimize(plan))
            .and_then(|plan| self.start(&plan))
    }

    /// Text's tree → plan: lists files and reads footers of what it mentions, then binds without further IO.
    fn bind(&self, query: &sqlparser::ast::Query, parameters: &[Expr]) -> Result<LogicalPlan> {
        let relations = Relations::resolve(self, sql::query_references(query)?)?;
        relations.with_context(self, parameters, |context| sql::bind_query(query, context))
    }

    fn optimize(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        self.optimize_traced(plan, None)
    }

    /// As [`Session::optimize`]; `trace` sees what each rule did.
    fn optimize_traced(&self, plan: LogicalPlan, mut trace: Option<optimizer::Trace>) -> Result<LogicalPlan> {
        let config = self.config();
        // A call of its own, because each half borrows the trace for itself.
        let plan = match &mut trace {
            Some(trace) => optimizer::narrow(plan, &config, Some(&mut **trace)),
            None => optimizer::narrow(plan, &config, None),
        };
        let plan = plan.and_then(|plan| self.list_partitions(plan))?;
        optimizer::order(plan, &config, trace)
    }

    fn start(&self, plan: &LogicalPlan) -> Result<QueryStream> {
        physical::execute(plan, &self.new_context())
    }

    /// Every kind of statement.
    fn statement(&self, statement: &Statement, parameters: &[Expr]) -> Result<StatementResult> {
        let current = Current::default();
        self.shared.state.write().resolving = Some(current.cancel.clone());
        let _entered = current.enter();
        let result = self.run_statement(statement, parameters);
        self.shared.state.write().resolving = None;
        result
    }

    fn run_statement(&self, statement: &Statement, parameters: &[Expr]) -> Result<StatementResult> {
        self.check_writing(statement)?;
        match statement {
            Statement::Query(query) => Ok(StatementResult::Rows(self.query(query, parameters)?.into())),
            Statement::Explain(explain) => self.explain(explain, parameters),
            Statement::CreateTable(table) => match &table.query {
                Some(query) => self.create_table_as(table, query, parameters),
                None => self.create_table(table),
            },
            Statement::CreateView(view) => self.create_view(view),
            Statement::CreateDatabase(database) => self.create_database(database),
            Statement::Insert(insert) => self.insert(insert, parameters),
            Statement::InsertEach(all) => self.insert_each(all, parameters),
            Statement::Load(load) => self.load(load),
            Statement::Copy(copy) => self.copy(copy, parameters),
            Statement::DropTable { name, if_exists } => self.drop_object(name, *if_exists, "table"),
            Statement::DropView { name, if_exists } => self.drop_object(name, *if_exists, "view"),
            Statement::DropDatabase {
                name,
                if_exists,
                cascade,
            } => self.drop_database(&name.name, *if_exists, *cascade),
            Statement::Use(name) => self.use_database(&name.name),
            Statement::Show(show) => self.show(show),
            Statement::Describe(describe) => self.describe(describe),
            Statement::DescribeDatabase { name, extended } => self.describe_database(name, *extended),
            Statement::DescribeQuery(query) => self.describe_query(query, parameters),
            Statement::Set { name, value } => self.set(name, value),
            Statement::Reset(name) => self.reset(name.as_deref()),
            Statement::Prepare { name, statement } => self.prepare(name, statement),
            Statement::Execute { name, parameters } => self.execute_prepared(name, parameters),
            Statement::ExecuteImmediate { statement, parameters } => self.execute_with(statement, parameters),
            Statement::Deallocate(name) => self.deallocate(name),
            Statement::RepairTable { name, mode, partition } => self.repair(name, *mode, partition.as_ref()),
            Statement::AlterTable { name, kind, change } => self.alter_table(name, kind, change),
            Statement::AlterDatabase { name, change } => self.alter_database(name, change),
            Statement::AlterView { name, query, text } => self.alter_view(name, query, text),
            Statement::CreateTableLike(like) => self.create_table_like(like),
            Statement::Truncate { name, partition } => self.truncate(name, partition.as_ref()),
            Statement::Call { name, arguments } => self.call(name, arguments),
        }
    }

    pub fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    /// The settings as of now.
    pub fn config(&self) -> Arc<Config> {
        self.shared.state.read().config.clone()
    }

    /// The database in which unqualified names are looked up.
    pub fn database(&self) -> String {
        self.shared.state.read().database.clone()
    }

    /// Whether what CREATE makes ends with the session and replaces what has its name: for files that prepare a session.
    pub fn set_temporary_ddl(&self, temporary: bool) {
        self.shared.state.write().temporary_ddl = temporary;
    }

    fn temporary_ddl(&self) -> bool {
        self.shared.state.read().temporary_ddl
    }

    /// A folder that does not exist yet and that nobody else will use, for the files of a temporary table.
    fn temporary_location(&self) -> Result<String> {
        let parent = match self.config().spill_dir.as_str() {
            "" => std::env::temp_dir(),
            folder => folder.into(),
        };
        let mut files = self.shared.temporary_files.lock();
        let root = match files.take() {
            Some(root) => root,
            None => tempfile::Builder::new()
                .prefix("lakebed-")
                .tempdir_in(&parent)
                .map_err(|e| {
                    Error::storage(format!("cannot make a folder in {}: {e}", parent.display()))
                        .with_hint("set spill_dir (--spill-dir) to a folder that can be written")
                })?,
        };
        let used = std::fs::read_dir(root.path()).map_or(0, Iterator::count);
        let folder = (used..).map(|i| root.path().join(i.to_string())).find(|f| !f.exists());
        *files = Some(root);
        let folder = folder.ok_or_else(|| Error::internal("there are more names than tables"))?;
        crate::storage::allow_also(&folder.to_string_lossy())?;
        std::fs::create_dir(&folder).map_err(|e| Error::storage(format!("{}: {e}", folder.display())))?;
        Ok(folder.to_string_lossy().into_owned())
    }

    /// The query that runs now or ran last: its counters, and the way to cancel it.
    pub fn running(&self) -> Option<QueryContext> {
        self.shared.state.read().running.clone()
    }

    /// Stops the running query, if any.
    pub fn cancel(&self) {
        let state = self.shared.state.read();
        match (&state.resolving, &state.running) {
            (Some(resolving), _) => resolving.cancel(),
            (None, Some(running)) => running.cancel.cancel(),
            (None, None) => {}
        }
    }

    /// Surroundings for one more query.
    fn new_context(&self) -> QueryContext {
        let mut state = self.shared.state.write();
        let context = QueryContext::new(state.config.clone(), state.memory.clone());
        state.running = Some(context.clone());
        state.resolving = None;
        context
    }

    /// `SET name = value`.
    pub fn set(&self, name: &str, value: &str) -> Result<StatementResult> {
        let mut state = self.shared.state.write();
        let mut config = state.config.as_ref().clone();
        config.set(name, value)?;
        self.shared.check_guards(&config)?;
        state.change_config(config);
        Ok(StatementResult::done("SET"))
    }

    fn reset(&self, name: Option<&str>) -> Result<StatementResult> {
        let mut state = self.shared.state.write();
        let mut config = Config {
            guards: self.shared.floor.clone(),
            ..Config::default()
        };
        if let Some(name) = name {
            let default = config.get(name)?;
            config = state.config.as_ref().clone();
            config.set(name, &default)?;
        }
        self.shared.check_guards(&config)?;
        state.change_config(config);
        Ok(StatementResult::done("RESET"))
    }

    /// `USE database`.
    pub fn use_database(&self, name: &str) -> Result<StatementResult> {
        self.catalog().require_database(name)?;
        self.shared.state.write().database = name.to_string();
        Ok(StatementResult::done("USE"))
    }

    fn prepare(&self, name: &str, statement: &Statement) -> Result<StatementResult> {
        self.shared
            .state
            .write()
            .prepared
            .insert(name.to_string(), statement.clone());
        Ok(StatementResult::done("PREPARE"))
    }

    fn execute_prepared(&self, name: &str, parameters: &[sqlparser::ast::Expr]) -> Result<StatementResult> {
        let statement = {
            let state = self.shared.state.read();
            let known = state.prepared.keys().map(String::as_str);
            let unknown =
                || Error::plan(format!("there is no prepared statement \"{name}\"")).with_nearest(name, known);
            state.prepared.get(name).cloned().ok_or_else(unknown)?
        };
        self.execute_with(&statement, parameters)
    }

    /// Runs a statement with these values in the places of its `?`.
    fn execute_with(&self, statement: &Statement, parameters: &[sqlparser::ast::Expr]) -> Result<StatementResult> {
        let relations = Relations::default();
        let bind = |e| relations.with_context(self, &[], |context| sql::bind_constant(e, context));
        let parameters = parameters.iter().map(bind).collect::<Result<Vec<_>>>()?;
        self.run_statement(statement, &parameters)
    }

    fn deallocate(&self, name: &str) -> Result<StatementResult> {
        match self.shared.state.write().prepared.remove(name) {
            Some(_) => Ok(StatementResult::done("DEALLOCATE")),
            None => Err(Error::plan(format!("there is no prepared statement \"{name}\""))),
        }
    }
}

impl State {
    fn change_config(&mut self, config: Config) {
        if config.memory_limit != self.config.memory_limit {
            self.memory = MemoryArbiter::new(config.operator_memory());
        }
        self.config = Arc::new(config);
    }
}

thread_local! {
    /// Whether this thread has a stack for plans of any depth.
    static STACK_IS_BIG: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` on a thread with a stack for plans of any depth, this one if it has; a panic in it becomes an internal error.
/// A program that runs many statements does all of its work in here, and saves the threads.
pub fn on_big_stack<T: Send>(f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if STACK_IS_BIG.get() {
        return caught(f);
    }
    std::thread::scope(|scope| {
        let run = || {
            STACK_IS_BIG.set(true);
            caught(f)
        };
        let thread = std::thread::Builder::new()
            .name("statement".into())
            .stack_size(STACK)
            .spawn_scoped(scope, run);
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::internal("a statement panicked")),
            Err(e) => Err(Error::resources(format!(
                "a thread for the statement cannot be started: {e}"
            ))),
        }
    })
}

#[cfg(test)]
mod tests;
