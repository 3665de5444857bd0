// pybind11.h holds these conversions.
#pragma once
