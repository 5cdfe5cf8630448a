//! What stands for kinds of stores that are not built in.

#![allow(unused_macros, reason = "unused when all kinds of stores are built in")]

macro_rules! left_out {
    ($feature:literal, $name:ident($($argument:ty),*)) => {
        #[cfg(not(feature = $feature))]
        pub(in crate::storage) fn $name($(_: $argument),*) -> crate::error::Result<std::sync::Arc<super::super::store::Store>> {
            let text = concat!("this program was built without the feature \"", $feature, "\"");
            Err(crate::error::Error::unsupported(text))
        }
    };
}

left_out!("s3", s3(&str, &str, &crate::config::StoreSettings));
left_out!("gcs", gcs(&str, &str, &crate::config::StoreSettings));
left_out!("azure", azure(&str, &str, &crate::config::StoreSettings));
left_out!("http", http(&str, &str, &crate::config::StoreSettings));
