use sha2::{Digest, Sha256};
use sovd_domain::audit::{ChainHash, Link};

/// Returns the link of the entry with this content that follows `previous`.
pub(super) fn after(previous: Link, content: &str) -> Link {
    let digest = Sha256::new()
        .chain_update(previous.hash.0)
        .chain_update(content)
        .finalize();
    Link {
        position: previous.position.saturating_add(1),
        hash: ChainHash(digest.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value was computed with `sha256sum`.
    #[test]
    fn the_hash_is_the_sha_256_of_the_previous_hash_and_the_content() {
        let link = after(Link::GENESIS, "[\"sovd-audit-1\"]");
        assert_eq!(link.position, 1);
        assert_eq!(
            link.hash.to_string(),
            "693689eb1f7130d9bafd2d1dfd29462ddfdf892f28438e71546be7089c5a5254"
        );
    }

    #[test]
    fn the_hash_depends_on_the_previous_one() {
        let first = after(Link::GENESIS, "a");
        assert_ne!(after(first, "a").hash, first.hash);
    }
}
