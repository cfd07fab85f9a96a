pub(crate) mod logins;
