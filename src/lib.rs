//! redknot: an embedded, transactional key-value and vector database in one file.
