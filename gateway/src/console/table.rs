//! Every page of the console, in one list: what is not here is not there, whatever a desk would answer. The
//! access matrix (`tests/tests/console_matrix.rs`) tries each of them as nobody, as the wrong account, and as
//! the right one.

use super::Desk;

/// An address of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Its template; parts in braces vary.
    pub path: &'static str,
    /// Whose it is. The start's and the explorer's are everybody's, but for jobs, which are of who began them.
    pub desk: Desk,
    /// How it is visited.
    pub how: How,
}

/// How an address is visited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is looked at.
    Look,
    /// A form is sent there.
    Send,
    /// Both: the page with the form, and the form.
    Both,
}

impl How {
    /// Whether pages there are looked at.
    pub fn looks(self) -> bool {
        self != How::Send
    }

    /// Whether forms are sent there.
    pub fn sends(self) -> bool {
        self != How::Look
    }
}

use Desk::{Auditor, Explorer, Operator, Owner, Requester, Start};
use How::{Both, Look, Send};

const fn route(path: &'static str, desk: Desk, how: How) -> Route {
    Route { path, desk, how }
}

/// All of them.
pub const ROUTES: &[Route] = &[
    route("/console", Start, Look),
    route("/console/style.css", Start, Look),
    route("/console/icon.svg", Start, Look),
    route("/console/sign-in", Start, Look),
    route("/console/enter", Start, Both),
    route("/console/leave", Start, Send),
    route("/console/set", Start, Look),
    route("/console/jobs/{job}", Start, Look),
    route("/console/explorer", Explorer, Look),
    route("/console/explorer/blocks/{height}", Explorer, Look),
    route("/console/explorer/transactions/{hash}", Explorer, Look),
    route("/console/explorer/transactions/{hash}/receipt.json", Explorer, Look),
    route("/console/explorer/accounts", Explorer, Look),
    route("/console/explorer/accounts/{address}", Explorer, Look),
    route("/console/explorer/assets", Explorer, Look),
    route("/console/explorer/assets/{asset}", Explorer, Look),
    route("/console/explorer/search", Explorer, Look),
    route("/console/owner", Owner, Look),
    route("/console/owner/assets/{asset}", Owner, Look),
    route("/console/owner/assets/{asset}/transfer", Owner, Both),
    route("/console/owner/assets/{asset}/withdraw", Owner, Both),
    route("/console/owner/publish", Owner, Look),
    route("/console/owner/publish/open", Owner, Both),
    route("/console/owner/publish/infer", Owner, Both),
    route("/console/owner/publish/preview", Owner, Both),
    route("/console/owner/publish/preview/{job}", Owner, Both),
    route("/console/owner/publish/manifest/{job}", Owner, Look),
    route("/console/owner/publish/result/{job}", Owner, Look),
    route("/console/owner/grants", Owner, Look),
    route("/console/owner/grants/edit", Owner, Both),
    route("/console/owner/grants/{asset}/{address}", Owner, Look),
    route("/console/owner/grants/{asset}/{address}/revoke", Owner, Both),
    route("/console/owner/requests", Owner, Look),
    route("/console/owner/requests/{hash}", Owner, Look),
    route("/console/owner/budgets", Owner, Look),
    route("/console/owner/budgets/check", Owner, Both),
    route("/console/owner/budgets/checked/{job}", Owner, Look),
    route("/console/owner/syncs", Owner, Look),
    route("/console/owner/syncs/now/{number}", Owner, Both),
    route("/console/owner/syncs/reports/{name}", Owner, Look),
    route("/console/owner/keys", Owner, Look),
    route("/console/owner/keys/{asset}/rotate", Owner, Both),
    route("/console/owner/keys/changed/{job}", Owner, Look),
    route("/console/owner/receipts/{hash}", Owner, Look),
    route("/console/operator", Operator, Look),
    route("/console/operator/proposals", Operator, Look),
    route("/console/operator/proposals/new/{kind}", Operator, Both),
    route("/console/operator/proposals/{hash}", Operator, Look),
    route("/console/operator/proposals/{hash}/endorse", Operator, Both),
    route("/console/operator/nodes", Operator, Look),
    route("/console/operator/rules", Operator, Look),
    route("/console/operator/consensus", Operator, Look),
    route("/console/operator/contracts", Operator, Look),
    route("/console/operator/witnesses", Operator, Look),
    route("/console/requester", Requester, Look),
    route("/console/requester/assets/{asset}", Requester, Look),
    route("/console/requester/grants", Requester, Look),
    route("/console/requester/ask/{asset}", Requester, Both),
    route("/console/requester/answers", Requester, Look),
    route("/console/requester/answers/{request}", Requester, Look),
    route("/console/requester/answers/{request}/answer.json", Requester, Look),
    route("/console/requester/answers/{request}/receipt.json", Requester, Look),
    route("/console/requester/answers/{request}/snarkjs/{file}", Requester, Look),
    route("/console/requester/verify", Requester, Both),
    route("/console/requester/fetched", Requester, Look),
    route("/console/requester/fetched/{name}", Requester, Look),
    route("/console/requester/fetch/{asset}", Requester, Both),
    route("/console/auditor", Auditor, Look),
    route("/console/auditor/trail", Auditor, Look),
    route("/console/auditor/trail.csv", Auditor, Look),
    route("/console/auditor/trail.json", Auditor, Look),
    route("/console/auditor/trail/{hash}", Auditor, Look),
    route("/console/auditor/anomalies", Auditor, Look),
    route("/console/auditor/grants", Auditor, Look),
    route("/console/auditor/metering", Auditor, Look),
    route("/console/auditor/metering.csv", Auditor, Look),
    route("/console/auditor/budgets", Auditor, Look),
    route("/console/auditor/verify", Auditor, Both),
    route("/console/auditor/verify/answer", Auditor, Send),
    route("/console/auditor/samples", Auditor, Both),
    route("/console/auditor/samples/{hash}", Auditor, Look),
    route("/console/auditor/reads", Auditor, Both),
];

/// The route of an address, by its parts behind `/console`.
pub(super) fn at(parts: &[String], is_post: bool) -> Option<&'static Route> {
    ROUTES.iter().find(|route| (if is_post { route.how.sends() } else { route.how.looks() }) && route.is_at(parts))
}

impl Route {
    fn is_at(&self, parts: &[String]) -> bool {
        let template = self.path.split('/').filter(|part| !part.is_empty()).skip(1);
        template.clone().count() == parts.len()
            && template.zip(parts).all(|(part, found)| part.starts_with('{') || part == found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(address: &str, is_post: bool) -> Option<&'static str> {
        let parts: Vec<String> = address.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        at(&parts, is_post).map(|route| route.path)
    }

    #[test]
    fn addresses_are_found_by_their_parts_and_how_they_are_visited() {
        assert_eq!(found("", false), Some("/console"));
        assert_eq!(found("explorer/blocks/7", false), Some("/console/explorer/blocks/{height}"));
        assert_eq!(found("explorer/blocks/7", true), None);
        assert_eq!(found("owner/grants/edit", true), Some("/console/owner/grants/edit"));
        assert_eq!(found("leave", false), None);
        assert_eq!(found("leave", true), Some("/console/leave"));
        for none in ["x", "explorer/blocks", "owner/assets/a/b", "owner/x", "explorer/blocks/7/8"] {
            assert_eq!(found(none, false), None, "{none}");
        }
    }

    #[test]
    fn each_stands_there_once_and_at_its_desk() {
        for (at, route) in ROUTES.iter().enumerate() {
            assert!(ROUTES.iter().skip(at + 1).all(|other| other.path != route.path), "{}", route.path);
            assert!(route.path.starts_with(route.desk.path()), "{}", route.path);
        }
    }
}
