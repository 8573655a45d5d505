//! The example project at the repository's root, carried in the binary for `xdb init --demo`.

macro_rules! files {
    ($($to:literal = $from:literal),* $(,)?) => {
        &[$(($to, include_str!(concat!("../../../", $from)))),*]
    };
}

/// Where its profiles.yml puts the databases.
pub(crate) const DATA: &str = "target/demo/lake";

/// Path in the project, and content.
pub(crate) const FILES: &[(&str, &str)] = files![
    "xdb_project.yml" = "project.example.yml",
    "profiles.yml" = "profiles.example.yml",
    "models/sources.yml" = "models/sources.yml",
    "models/staging/sales.sql" = "models/staging/sales.sql",
    "models/cross_db_analysis.sql" = "models/cross_db_analysis.sql",
    "models/product_sales.sql" = "models/product_sales.sql",
    "models/order_totals.sql" = "models/order_totals.sql",
    "models/revenue_by_country.sql" = "models/revenue_by_country.sql",
    "models/best_customers.sql" = "models/best_customers.sql",
    "models/revenue_report.sql" = "models/revenue_report.sql",
    "seeds/README.md" = "seeds/README.md",
    "seeds/schema.yml" = "seeds/schema.yml",
    "seeds/customers.csv" = "seeds/customers.csv",
    "seeds/orders.csv" = "seeds/orders.csv",
    "seeds/order_items.csv" = "seeds/order_items.csv",
    "seeds/products.csv" = "seeds/products.csv",
    "seeds/exchange_rates.csv" = "seeds/exchange_rates.csv",
];

/// What a new project starts with; `{name}` is its name.
pub(crate) const SCAFFOLD: &[(&str, &str)] = &[
    (
        "xdb_project.yml",
        "name: {name}\nversion: \"1.0\"\n\n# The connection in profiles.yml that models are written to.\ntarget: local\n\n\
         models:\n  {name}:\n    +materialized: table\n",
    ),
    (
        "profiles.yml",
        "# Connections: each top-level key is one. `xdb profiles test` tries them all.\n\nlocal:\n  adapter: duckdb\n  \
         path: {name}.duckdb\n\n# postgres_prod:\n#   adapter: postgres\n#   host: db.example.com\n#   user: analytics\n#   \
         password: \"{{ env_var('XDB_ENV_SECRET_POSTGRES') }}\"\n#   database: production\n",
    ),
    (
        "models/sources.yml",
        "version: 2\n\n# Tables that are there already. `xdb inspect CONNECTION --sources` writes entries like these.\nsources: []\n\
         #  - name: crm\n#    profile: postgres_prod\n#    tables:\n#      - name: customers\n",
    ),
    (
        "models/example.sql",
        "-- Tables of any connection are read with source(), other models with ref(), as in dbt.\n\
         select 1 as id, 'hello' as greeting\n",
    ),
    (".gitignore", "target/\nlogs/\n*.duckdb\n*.duckdb.wal\n"),
];
