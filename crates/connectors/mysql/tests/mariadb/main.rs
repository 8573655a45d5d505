//! The connector against a real MariaDB (test service `mariadb`). Each test has a database of its own.

mod connect;
mod load;
mod native;
mod read;
mod support;
