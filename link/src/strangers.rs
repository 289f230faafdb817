//! How many connections one address may have before they have said who they are: silent strangers keep others out only from as many
//! addresses as there are shares of the whole.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Addresses whose connections have not yet said what they are for.
#[derive(Debug)]
pub struct Strangers {
    per_address_max: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// A place among the connections of one address, free again when it is dropped.
#[derive(Debug)]
pub struct Stranger {
    address: IpAddr,
    among: Arc<Strangers>,
}

impl Strangers {
    /// At most so many connections of one address. How many there are in all is for whoever accepts.
    pub fn new(per_address_max: usize) -> Self {
        Self { per_address_max, counts: Mutex::default() }
    }

    /// A place, if the address has one left.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Stranger> {
        let address = network_of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.per_address_max {
            return None;
        }
        *count += 1;
        Some(Stranger { address, among: Arc::clone(self) })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.among.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// What one stranger has: an IPv4 address, or an IPv6 network of 64 bits.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => IpAddr::V6((six.to_bits() >> 64 << 64).into()),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_stranger() {
        let network = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn one_address_has_its_share_and_gets_it_back() {
        let strangers = Arc::new(Strangers::new(2));
        let address: IpAddr = [192, 0, 2, 1].into();
        let first = strangers.admit(address).expect("one of two");
        let _second = strangers.admit(address).expect("two of two");
        assert!(strangers.admit(address).is_none());
        assert!(strangers.admit([192, 0, 2, 2].into()).is_some());
        drop(first);
        assert!(strangers.admit(address).is_some());
    }
}
