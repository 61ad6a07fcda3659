//! What is added to an event beyond what its line says.

pub mod agent;
mod cache;
pub mod fields;
pub mod geo;
pub mod members;
pub mod table;
mod table_error;
pub mod url;

#[cfg(test)]
mod tests {
    #[test]
    fn every_step_may_be_asked_by_many_threads() {
        fn check<T: Send + Sync + 'static>() {}
        check::<super::agent::Agents>();
        check::<super::geo::Geo>();
        check::<super::table::Table>();
    }
}
