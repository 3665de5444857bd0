// pybind11.h contains these conversions.
#pragma once
