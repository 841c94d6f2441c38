//! The lock-free protocols of modules that are not built under loom (they stand on assembly), as the
//! files that hold them: the model checker runs these, with the models at their ends.

#[path = "net/fdmutex.rs"]
mod fdmutex;
#[path = "net/serve/inbox.rs"]
mod inbox;
#[path = "sched/join.rs"]
mod join;
#[path = "sched/owner.rs"]
mod owner;
#[path = "sched/role.rs"]
mod role;
#[path = "sched/runq.rs"]
pub(crate) mod runq;
#[path = "sched/search.rs"]
pub(crate) mod search;
#[path = "sync/models.rs"]
mod sync;
