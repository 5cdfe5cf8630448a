//! Where the trips come from: an endless, seeded stream of them per service and month.

use chrono::{Datelike, Months, NaiveDate};

use crate::zones::ZONES;
use crate::{Month, Service};

/// One trip. Times are seconds since 1970-01-01 in local time, amounts are cents, the distance is in hundredths of a mile.
pub struct Trip {
    pub vendor: i64,
    pub pickup: i64,
    pub dropoff: i64,
    pub pickup_zone: i64,
    pub dropoff_zone: i64,
    pub distance: i64,
    pub fare: i64,
    pub extra: i64,
    pub mta_tax: i64,
    pub tip: i64,
    pub tolls: i64,
    pub improvement_surcharge: i64,
    pub total: i64,
    pub congestion_surcharge: i64,
    pub airport_fee: i64,
    /// What the meter tells; the trips that were booked by app and reported later come without.
    pub meter: Option<Meter>,
}

/// The fields that are NULL together.
pub struct Meter {
    pub store_and_forward: bool,
    pub rate_code: i64,
    pub passengers: i64,
    pub payment_type: i64,
    pub trip_type: i64,
}

/// Zones where most trips begin, the busiest first.
const GREEN_ZONES: [i64; 16] = [74, 75, 41, 95, 166, 42, 82, 97, 7, 65, 43, 129, 181, 25, 244, 152];
const YELLOW_ZONES: [i64; 16] = [
    237, 161, 236, 162, 186, 230, 132, 48, 170, 142, 234, 163, 239, 141, 138, 79,
];
const AIRPORTS: [i64; 2] = [132, 138];
/// Numbers that stand in the files but not in the lookup.
const UNLISTED_ZONES: [i64; 3] = [0, 270, 999];

/// Trips per hour of the day, in thousandths.
const HOURS: [u64; 24] = [
    28, 20, 15, 11, 8, 9, 21, 36, 45, 46, 46, 48, 50, 50, 53, 52, 46, 54, 62, 62, 58, 58, 57, 65,
];

/// Mostly one; nobody, when the driver did not say.
const PASSENGERS: [i64; 20] = [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4, 5, 6];

/// An endless stream of trips.
pub struct Trips {
    service: Service,
    month: Month,
    seconds_in_month: u64,
    random: Random,
}

impl Trips {
    pub fn new(service: Service, month: Month, seed: u64) -> Self {
        let next = month.checked_add_months(Months::new(1)).unwrap_or(month);
        let seconds_in_month = next.signed_duration_since(month).num_seconds().max(1) as u64;
        let stream = (month.year() as u64) << 16 | u64::from(month.month()) << 8 | service as u64;
        Trips {
            service,
            month,
            seconds_in_month,
            random: Random::new(seed, stream),
        }
    }
}

impl Iterator for Trips {
    type Item = Trip;

    fn next(&mut self) -> Option<Trip> {
        let pickup = self.pickup();
        let seconds = self.duration();
        let distance = self.distance(seconds);
        let pickup_zone = self.zone();
        let dropoff_zone = if self.random.chance(70) {
            pickup_zone
        } else {
            self.zone()
        };
        let mut trip = Trip {
            vendor: self.vendor(),
            pickup,
            dropoff: pickup + seconds,
            pickup_zone,
            dropoff_zone,
            distance,
            fare: 250 + (distance.min(20_000) * 9 / 5 + seconds.min(10_800) * 5 / 6) / 50 * 50,
            extra: self.random.pick(&[0, 0, 50, 100]),
            mta_tax: 50,
            tip: 0,
            tolls: if self.random.chance(30) { 612 } else { 0 },
            improvement_surcharge: 30,
            total: 0,
            congestion_surcharge: self.congestion_surcharge(pickup_zone),
            airport_fee: if AIRPORTS.contains(&pickup_zone) { 125 } else { 0 },
            meter: self.meter(),
        };
        self.spoil(&mut trip);
        trip.tip = self.tip(&trip);
        trip.total = trip.fare
            + trip.extra
            + trip.mta_tax
            + trip.tip
            + trip.tolls
            + trip.improvement_surcharge
            + trip.congestion_surcharge;
        if trip.meter.as_ref().is_some_and(|meter| meter.payment_type > 2) && self.random.chance(500) {
            refund(&mut trip);
        }
        Some(trip)
    }
}

impl Trips {
    /// A moment of the month; one in five hundred has a clock that is wrong by hours, months or years.
    fn pickup(&mut self) -> i64 {
        let start = seconds_since_1970(self.month);
        let day = self.random.below(self.seconds_in_month / 86_400) as i64;
        let hour = self.random.weighted(&HOURS) as i64;
        let pickup = start + day * 86_400 + hour * 3_600 + self.random.below(3_600) as i64;
        if !self.random.one_in(500) {
            return pickup;
        }
        match self.random.below(4) {
            0 => start - 1 - self.random.below(7_200) as i64,
            1 => start + self.seconds_in_month as i64 + self.random.below(7_200) as i64,
            2 => 1_230_768_000 + self.random.below(86_400) as i64, // 2009-01-01, where a meter starts that was reset
            _ => pickup + 366 * 86_400,
        }
    }

    /// Seconds: mostly minutes, at times none, rarely a day because the meter was left on.
    fn duration(&mut self) -> i64 {
        if self.random.one_in(400) {
            return self.random.pick(&[0, 0, 1, 86_340]);
        }
        let minute = 60 * (1 + self.random.below(18).max(self.random.below(12)) + self.random.below(6));
        (minute + self.random.below(60)) as i64 * if self.random.chance(60) { 3 } else { 1 }
    }

    /// Hundredths of a mile: often zero although somebody rode, rarely more than there are roads.
    fn distance(&mut self, seconds: i64) -> i64 {
        if self.random.chance(40) {
            return 0;
        }
        if self.random.one_in(20_000) {
            return 10_000_000 + self.random.below(20_000_000) as i64;
        }
        seconds.min(10_800) * (15 + self.random.below(25) as i64) / 100
    }

    fn zone(&mut self) -> i64 {
        if self.random.one_in(800) {
            return self.random.pick(&UNLISTED_ZONES);
        }
        if self.random.chance(12) {
            return 264 + i64::from(self.random.chance(200));
        }
        let busy = match self.service {
            Service::Green => &GREEN_ZONES,
            Service::Yellow => &YELLOW_ZONES,
        };
        if self.random.chance(650) {
            // The smaller of two draws favours the front of the list.
            let place = self.random.below(16).min(self.random.below(16));
            return busy[place as usize];
        }
        1 + self.random.below(ZONES.len() as u64 - 2) as i64
    }

    fn vendor(&mut self) -> i64 {
        match self.random.below(1_000) {
            0..=2 => 4,
            3..=299 => 1,
            _ => 2,
        }
    }

    fn congestion_surcharge(&mut self, zone: i64) -> i64 {
        let below_96th_street = ZONES
            .get((zone - 1).max(0) as usize)
            .is_some_and(|zone| zone.3 == "Yellow Zone");
        if below_96th_street || self.random.chance(150) {
            250
        } else {
            0
        }
    }

    fn meter(&mut self) -> Option<Meter> {
        let without = match self.service {
            Service::Green => 62,
            Service::Yellow => 10,
        };
        if self.random.chance(without) {
            return None;
        }
        let random = &mut self.random;
        Some(Meter {
            store_and_forward: random.chance(5),
            rate_code: if random.chance(50) {
                random.pick(&[2, 3, 4, 5, 99])
            } else {
                1
            },
            passengers: if random.one_in(1_000) {
                9
            } else {
                random.pick(&PASSENGERS)
            },
            payment_type: random.pick(&[1, 1, 1, 1, 1, 1, 1, 2, 2, 2]) + if random.chance(12) { 2 } else { 0 },
            trip_type: 1 + i64::from(random.chance(30)),
        })
    }

    /// The rare wild value: a fare of thousands, a tax in the place of the extra.
    fn spoil(&mut self, trip: &mut Trip) {
        if self.random.one_in(10_000) {
            trip.fare = 100_000 + self.random.below(300_000) as i64;
        }
        if self.random.one_in(10_000) {
            (trip.extra, trip.mta_tax) = (-3_671, 3_751);
        }
    }

    /// Tips are known only when paid by card.
    fn tip(&mut self, trip: &Trip) -> i64 {
        match &trip.meter {
            Some(meter) if meter.payment_type == 1 => trip.fare * self.random.below(30) as i64 / 100,
            Some(_) => 0,
            None => trip.fare / 10,
        }
    }
}

/// A disputed trip appears a second time with all amounts below zero.
fn refund(trip: &mut Trip) {
    trip.tip = 0;
    for amount in [
        &mut trip.fare,
        &mut trip.extra,
        &mut trip.mta_tax,
        &mut trip.tolls,
        &mut trip.improvement_surcharge,
        &mut trip.total,
        &mut trip.congestion_surcharge,
        &mut trip.airport_fee,
    ] {
        *amount = -*amount;
    }
}

fn seconds_since_1970(day: NaiveDate) -> i64 {
    day.signed_duration_since(NaiveDate::default()).num_seconds()
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, and the same everywhere.
struct Random {
    state: u64,
}

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        let mut random = Random { state: seed };
        random.state = random.next() ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        random
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True `thousandths` times in a thousand.
    fn chance(&mut self, thousandths: u64) -> bool {
        self.below(1_000) < thousandths
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn pick(&mut self, values: &[i64]) -> i64 {
        values[self.below(values.len() as u64) as usize]
    }

    /// An index, as often as its weight among all says.
    fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut rest = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            if rest < *weight {
                return index;
            }
            rest -= weight;
        }
        0
    }
}
