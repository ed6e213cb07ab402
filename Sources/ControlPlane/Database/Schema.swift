/// What is stored, and how.
enum Schema {
    static let migrations = [
        Migration(version: 1, script: first), Migration(version: 2, script: aperture),
        Migration(version: 3, script: grant), Migration(version: 4, script: slot),
    ]

    /// `position` is the order of definition. Columns that belong together are filled together.
    private static let first: StaticString = """
        CREATE TABLE instance (
            position INTEGER PRIMARY KEY,
            uuid TEXT NOT NULL UNIQUE,
            parent TEXT NOT NULL,
            type TEXT NOT NULL,
            is_autostarted INTEGER NOT NULL,
            is_defined INTEGER NOT NULL,
            has_owner INTEGER NOT NULL,
            owner_user INTEGER,
            owner_group INTEGER,
            state TEXT NOT NULL,
            restarts INTEGER NOT NULL,
            process_id INTEGER,
            process_start_time INTEGER,
            process_boot TEXT,
            CHECK (has_owner OR (owner_user IS NULL AND owner_group IS NULL)),
            CHECK ((process_id IS NULL) = (process_start_time IS NULL)),
            CHECK ((process_id IS NULL) = (process_boot IS NULL))
        ) STRICT;

        CREATE TABLE attribute (
            instance INTEGER NOT NULL REFERENCES instance (position) ON DELETE CASCADE,
            ordinal INTEGER NOT NULL,
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (instance, ordinal)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE journal (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            time REAL NOT NULL,
            instance TEXT,
            kind TEXT NOT NULL,
            message TEXT NOT NULL
        ) STRICT;
        CREATE INDEX journal_instance ON journal (instance);

        CREATE TABLE meta (
            name TEXT PRIMARY KEY,
            value TEXT NOT NULL
        ) STRICT, WITHOUT ROWID;

        PRAGMA user_version = 1;
        """

    /// What a running device keeps though its video memory has changed.
    private static let aperture: StaticString = """
        ALTER TABLE instance ADD COLUMN aperture INTEGER;

        PRAGMA user_version = 2;
        """

    /// What an active instance has been granted, and which start it is. One that an earlier version has started has no
    /// grant.
    private static let grant: StaticString = """
        ALTER TABLE instance ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE instance ADD COLUMN granted_device TEXT;
        ALTER TABLE instance ADD COLUMN granted_video_memory INTEGER;
        ALTER TABLE instance ADD COLUMN granted_weight INTEGER;
        ALTER TABLE instance ADD COLUMN granted_frame_rate INTEGER;

        CREATE TABLE granted_option (
            instance INTEGER NOT NULL REFERENCES instance (position) ON DELETE CASCADE,
            ordinal INTEGER NOT NULL,
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (instance, ordinal)
        ) STRICT, WITHOUT ROWID;

        PRAGMA user_version = 3;
        """

    /// Where an active instance is that is in a Xen domain. One that an earlier version has started is in none.
    private static let slot: StaticString = """
        ALTER TABLE instance ADD COLUMN domain INTEGER;
        ALTER TABLE instance ADD COLUMN slot TEXT CHECK ((slot IS NULL) = (domain IS NULL));

        PRAGMA user_version = 4;
        """
}
