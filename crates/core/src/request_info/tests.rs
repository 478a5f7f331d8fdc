use super::*;

#[test]
fn a_list_of_pods() {
    let info =
        RequestInfo::parse("GET", "/api/v1/namespaces/shop/pods", Some("limit=500")).unwrap();
    assert_eq!(info.verb, Verb::List);
    assert_eq!(info.namespace(), "shop");
}
