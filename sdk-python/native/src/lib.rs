//! Native core of the Python SDK.
