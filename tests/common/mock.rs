//! The embedded broker from behind: its requests counted, its brokers slowed down or taken away.

use std::collections::BTreeMap;
use std::ffi::CString;

use rstest_kafka::Kafka;
use rstest_kafka::rdkafka::bindings as rdsys;

/// The number of Fetch requests in the Kafka protocol.
pub const FETCH: i16 = 1;

/// The number of ListOffsets requests in the Kafka protocol.
pub const LIST_OFFSETS: i16 = 2;

/// And that of OffsetFetch.
pub const OFFSET_FETCH: i16 = 9;

/// The mock cluster of a harness that outlives it.
#[derive(Clone, Copy)]
pub struct Mock(*mut rdsys::rd_kafka_mock_cluster_t);

// SAFETY: the mock takes its own lock in each of the calls below.
unsafe impl Send for Mock {}
// SAFETY: as above.
unsafe impl Sync for Mock {}

impl Mock {
    pub fn of(kafka: &Kafka) -> Self {
        let mock = kafka.mock_cluster();
        assert!(!mock.is_null(), "this test builds an embedded broker");
        Self(mock)
    }

    /// # Safety
    /// The mock cluster outlives it.
    pub unsafe fn new(mock: *mut rdsys::rd_kafka_mock_cluster_t) -> Self {
        Self(mock)
    }

    pub fn start_counting(&self) {
        // SAFETY: the harness that owns the mock outlives `self`.
        unsafe { rdsys::rd_kafka_mock_start_request_tracking(self.0) };
    }

    /// How many requests of each kind came since counting started, by their number in the protocol.
    pub fn count(&self) -> BTreeMap<i16, usize> {
        let mut requests = BTreeMap::new();
        // SAFETY: as above; the array has as many requests as it says and is given back.
        unsafe {
            let mut count = 0;
            let array = rdsys::rd_kafka_mock_get_requests(self.0, &raw mut count);
            for n in 0..count {
                *requests.entry(rdsys::rd_kafka_mock_request_api_key(*array.add(n))).or_insert(0) += 1;
            }
            rdsys::rd_kafka_mock_request_destroy_array(array, count);
        }
        requests
    }

    pub fn set_leader(&self, topic: &str, partition: i32, broker: i32) {
        let topic = CString::new(topic).unwrap();
        // SAFETY: as above; the name is copied.
        let code = unsafe { rdsys::rd_kafka_mock_partition_set_leader(self.0, topic.as_ptr(), partition, broker) };
        assert_eq!(code, rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    }

    pub fn set_coordinator(&self, group: &str, broker: i32) {
        let group = CString::new(group).unwrap();
        // SAFETY: as above; both strings are copied.
        let code = unsafe { rdsys::rd_kafka_mock_coordinator_set(self.0, c"group".as_ptr(), group.as_ptr(), broker) };
        assert_eq!(code, rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
    }

    /// The broker answers its next `count` requests of a kind with an error.
    pub fn answer(&self, broker: i32, api: i16, error: rdsys::rd_kafka_resp_err_t, count: usize) {
        for _ in 0..count {
            // SAFETY: as above; one error with its delay of 0 ms, as the count says.
            unsafe { rdsys::rd_kafka_mock_broker_push_request_error_rtts(self.0, broker, api, 1, error, 0) };
        }
    }

    /// From now on the broker answers each request so much later.
    pub fn slow_down(&self, broker: i32, milliseconds: i32) {
        // SAFETY: as above.
        unsafe { rdsys::rd_kafka_mock_broker_set_rtt(self.0, broker, milliseconds) };
    }

    pub fn take_down(&self, broker: i32) {
        // SAFETY: as above.
        unsafe { rdsys::rd_kafka_mock_broker_set_down(self.0, broker) };
    }

    pub fn bring_up(&self, broker: i32) {
        // SAFETY: as above.
        unsafe { rdsys::rd_kafka_mock_broker_set_up(self.0, broker) };
    }
}
