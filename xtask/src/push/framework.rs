//! What pre-commit and prek tell their hooks: they read git's lines themselves, look at the first ref only, and pass it
//! on in variables, with an empty stdin.

use crate::vars::Vars;

/// The variable with what is pushed.
pub(crate) const PUSHED: &str = "PRE_COMMIT_TO_REF";
/// The variable with the branch that is pushed.
pub(crate) const BRANCH: &str = "PRE_COMMIT_LOCAL_BRANCH";

/// The one ref that a framework tells about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// What is pushed: the name of an object or of a ref of this repository.
    pub(crate) pushed: String,
    /// What the remote has, or an ancestor of what is pushed that it has, where the framework found one.
    pub(crate) had: Option<String>,
    /// The full name of the ref on the remote; none where the framework was run by hand.
    pub(crate) remote_ref: Option<String>,
    /// The remote's name and its address, where they were told.
    pub(crate) remote: Option<(String, String)>,
}

/// What a framework tells, where one runs the hook.
pub(crate) fn told(vars: &Vars) -> Option<Told> {
    let text = |name: &str| vars.text(name).filter(|value| !value.is_empty()).map(str::to_owned);
    // Where all of the history is new there is no range, and the branch is all that is told.
    let pushed = text(PUSHED).or_else(|| text(BRANCH))?;
    let remote = text("PRE_COMMIT_REMOTE_NAME").zip(text("PRE_COMMIT_REMOTE_URL"));
    Some(Told { pushed, had: text("PRE_COMMIT_FROM_REF"), remote_ref: text("PRE_COMMIT_REMOTE_BRANCH"), remote })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: [(&str, &str); 2] = [("PRE_COMMIT_REMOTE_NAME", "origin"), ("PRE_COMMIT_REMOTE_URL", "/srv/app.git")];

    #[test]
    fn a_framework_tells_one_ref_in_variables() {
        let range = [
            ("PRE_COMMIT_FROM_REF", "aaa"),
            ("PRE_COMMIT_TO_REF", "bbb"),
            ("PRE_COMMIT_LOCAL_BRANCH", "refs/heads/work"),
            ("PRE_COMMIT_REMOTE_BRANCH", "refs/heads/main"),
        ];
        let told = told(&REMOTE.into_iter().chain(range).collect()).unwrap();
        assert_eq!((told.pushed.as_str(), told.had.as_deref()), ("bbb", Some("aaa")));
        assert_eq!(told.remote_ref.as_deref(), Some("refs/heads/main"));
        assert_eq!(told.remote, Some(("origin".to_owned(), "/srv/app.git".to_owned())));
    }

    #[test]
    fn a_first_push_has_no_range_and_the_branch_stands_for_it() {
        let branch = [("PRE_COMMIT_LOCAL_BRANCH", "refs/heads/work"), ("PRE_COMMIT_REMOTE_BRANCH", "refs/heads/work")];
        let told = told(&REMOTE.into_iter().chain(branch).collect()).unwrap();
        assert_eq!((told.pushed.as_str(), told.had), ("refs/heads/work", None));
    }

    #[test]
    fn without_a_framework_nothing_is_told() {
        assert_eq!(told(&Vars::default()), None);
        assert_eq!(told(&[("PRE_COMMIT_TO_REF", "")].into_iter().collect()), None);
    }
}
