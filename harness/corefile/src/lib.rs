//! Reading and editing Corefiles.
