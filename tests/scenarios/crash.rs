//! SIGKILL at named points of real processes: every job ends delivered with the right result, or refunded; the books are right.

use entrepot_chain_statement::Hash;
use entrepot_tests::{
    books,
    consumer::Contract,
    market::{CREDIT_MINOR, Market, prepare_policy, wait_for},
    offer::PRICE_MINOR,
    sample,
};
use std::time::{Duration, Instant};

/// Kills of each process, at least.
const KILLS_MIN: usize = 20;
/// Points that one job comes by more often than once: for each party, or for each statement and checkpoint.
const SEVERAL_TIMES: [&str; 4] = ["exchange.receipt.", "exchange.share.", "exchange.anchor.", "chain."];
/// How long the points after a job's end may take to be reached: a witness that was killed over a question is asked again after ten seconds.
const AFTERMATH: Duration = Duration::from_secs(12);
/// Reached only when a job ends badly.
const REFUND_POINT: &str = "exchange.refund.before_commit";

/// A market in which one process is killed again and again.
struct Rig {
    market: Market,
    victim: Victim,
    contract: Contract,
    plan: Hash,
    delivered: i64,
    kills: usize,
}

/// Who is killed.
#[derive(Clone, Copy)]
enum Victim {
    Exchange,
    Worker(usize),
}

impl Rig {
    async fn start(victim: Victim) -> Self {
        let market = Market::start().await;
        let plan = market.quote(sample::SQL).await.plan;
        let contract = market.agree().await;
        Self { market, victim, contract, plan, delivered: 0, kills: 0 }
    }

    /// Whether the victim is there; with work left from before, it may reach the point while it starts.
    async fn restart(&mut self, failpoint: Option<&str>) -> bool {
        match self.victim {
            Victim::Exchange => self.market.exchange.restart(failpoint).await,
            Victim::Worker(party) => {
                self.market.workers[party].process.restart(failpoint);
                true
            }
        }
    }

    fn was_killed(&mut self) -> bool {
        match self.victim {
            Victim::Exchange => self.market.exchange.process.was_killed(),
            Victim::Worker(party) => self.market.workers[party].process.was_killed(),
        }
    }

    /// One order, on whose way the victim kills itself at `point` and is started again. Whether it did.
    async fn story(&mut self, point: &str) -> bool {
        self.market.renew_sessions().await;
        if !self.restart(Some(point)).await {
            assert!(self.restart(None).await, "the exchange does not start");
            self.kills += 1;
            return true;
        }
        let order = self.market.next_order(&mut self.contract, sample::SQL, self.plan);
        // This very request may kill the exchange; it is sent again below, under the same key.
        let first = self.market.try_place(&order).await;
        let killed = self.wait_for_the_kill(first.as_deref()).await;
        assert!(self.restart(None).await, "the exchange does not start");
        let job_id = wait_for(async || self.market.try_place(&order).await).await;
        assert!(first.is_none_or(|first| first == job_id), "one order became two jobs");
        self.check(point, &job_id).await;
        self.kills += usize::from(killed);
        killed
    }

    async fn wait_for_the_kill(&mut self, job_id: Option<&str>) -> bool {
        let mut over_since = None;
        loop {
            if self.was_killed() {
                return true;
            }
            if over_since.is_some_and(|since: Instant| since.elapsed() > AFTERMATH) {
                return false;
            }
            if over_since.is_none() && self.is_over(job_id).await {
                over_since = Some(Instant::now());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn is_over(&self, job_id: Option<&str>) -> bool {
        let Some(job_id) = job_id else { return false };
        let answer = self.market.consumer.try_get(&format!("/v1/jobs/{job_id}")).await;
        answer.is_some_and(|answer| matches!(answer.body["state"].as_str(), Some("delivered" | "refunded")))
    }

    async fn check(&mut self, point: &str, job_id: &str) {
        let job = self.market.finished(job_id).await;
        if job["state"] == "delivered" {
            self.delivered += 1;
            let opened = self.market.open_result(job_id).await;
            let large = sample::expected().into_iter().filter(|(_, group)| group.count >= sample::MINIMUM_GROUP);
            assert_eq!(opened.groups, large.collect(), "after a kill at {point}");
        }
        let balance = books::balance(&self.market).await;
        assert_eq!(balance, CREDIT_MINOR - self.delivered * PRICE_MINOR, "after a kill at {point}: {job}");
    }

    /// Goes through `points` twice: the second time at their second reach, where one job may come by more often than once.
    async fn run(&mut self, points: &[&str]) {
        for point in points {
            assert!(self.story(point).await, "no job reaches {point}");
        }
        for point in points {
            let several = SEVERAL_TIMES.iter().any(|prefix| point.starts_with(prefix));
            // How often depends on how much fits into one batch.
            if !(several && self.story(&format!("{point}@2")).await) {
                assert!(self.story(point).await, "no job reaches {point} again");
            }
        }
        books::verify(&self.market);
        assert!(self.kills >= KILLS_MIN, "only {} kills", self.kills);
    }
}

fn points(prefixes: &[&str]) -> Vec<&'static str> {
    let wanted = |name: &&&str| **name != REFUND_POINT && prefixes.iter().any(|prefix| name.starts_with(prefix));
    entrepot_failpoint::NAMES.iter().filter(wanted).copied().collect()
}

#[tokio::test]
async fn an_exchange_killed_anywhere_resumes_or_refunds() {
    Rig::start(Victim::Exchange).await.run(&points(&["exchange.", "chain."])).await;
}

#[tokio::test]
async fn an_exchange_killed_while_it_refunds_still_refunds() {
    let mut rig = Rig::start(Victim::Exchange).await;
    // The lender's worker no longer allows what was sold.
    let mut stricter = prepare_policy(&rig.market.cast, sample::lender_policy());
    stricter.minimum_group += 1;
    rig.market.workers[0].home.write_policy(&stricter);
    assert!(rig.story(REFUND_POINT).await, "the refund did not reach its point");
    assert_eq!(rig.delivered, 0);
    books::verify(&rig.market);
}

#[tokio::test]
async fn a_lenders_worker_killed_anywhere_resumes_or_refunds() {
    Rig::start(Victim::Worker(0)).await.run(&points(&["worker."])).await;
}

#[tokio::test]
async fn a_bureaus_worker_killed_anywhere_resumes_or_refunds() {
    Rig::start(Victim::Worker(1)).await.run(&points(&["worker."])).await;
}

#[tokio::test]
async fn a_compute_partys_worker_killed_anywhere_resumes_or_refunds() {
    Rig::start(Victim::Worker(2)).await.run(&points(&["worker."])).await;
}
