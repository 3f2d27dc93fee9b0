use super::*;

#[tokio::test]
async fn one_user_cannot_take_the_places_of_others() {
    let bounds = Bounds {
        connections: 8,
        of_one_user: 3,
        ..Bounds::default()
    };
    let (_end, ending) = watch::channel(false);
    let connections = Connections::new(bounds, Router::new(), ending);
    let (one, other) = (Peer::Unix { uid: 1000 }, Peer::Unix { uid: 1001 });
    let theirs = connections.place(other).unwrap();
    let places: Vec<_> = (0..3).map(|_| connections.place(one).unwrap()).collect();
    let answering: Vec<_> = places.iter().map(Place::answering).collect();
    assert!(
        connections.place(one).is_none(),
        "its share is being answered"
    );
    assert!(connections.place(other).is_some());
    drop(answering);
    // its own oldest goes, and nobody else's
    assert!(connections.place(one).is_some());
    assert_eq!(connections.len(), 5);
    let left = connections.places.lock().unwrap().clone();
    assert!(left.iter().any(|place| Arc::ptr_eq(place, &theirs)));
    assert!(!left.iter().any(|place| Arc::ptr_eq(place, &places[0])));
    // root is not counted
    let roots = (0..8).filter_map(|_| connections.place(Peer::Unix { uid: 0 }));
    assert_eq!(roots.count(), 8);
    assert_eq!(connections.len(), 8);
}
