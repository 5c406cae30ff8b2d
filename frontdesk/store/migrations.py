"""The schema, as numbered steps that are only ever added to. Times are UTC epoch seconds (REAL), flags and counts INTEGER."""

from sqlite_utils import Database, Migrations

migrations = Migrations("frontdesk")


@migrations()
def m001_initial(db: Database) -> None:
    _statements(
        db,
        """
        CREATE TABLE clients (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            system_prompt TEXT NOT NULL,
            time_zone TEXT NOT NULL DEFAULT 'UTC',
            -- NULL in the following: the setting of the same name decides
            model TEXT,
            quiet_seconds REAL,
            longest_wait_seconds REAL,
            stale_after_minutes REAL,
            patience_seconds REAL,
            answer_after_holding INTEGER,
            holding_text TEXT NOT NULL,
            apology_text TEXT NOT NULL,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL
        );

        CREATE TABLE numbers (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients,
            channel TEXT NOT NULL,
            external_id TEXT NOT NULL,
            account_id TEXT,
            display_phone TEXT,
            base_url TEXT,
            access_token_encrypted TEXT NOT NULL,
            messages_per_second REAL NOT NULL DEFAULT 80,
            stopped_at REAL,
            stopped_code INTEGER,
            stopped_reason TEXT,
            created_at REAL NOT NULL,
            UNIQUE (channel, external_id)
        );

        CREATE TABLE contacts (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients,
            phone TEXT,
            user_id TEXT,
            username TEXT,
            name TEXT,
            marketing_stopped_at REAL,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL
        );

        -- Every name a contact was ever known by: a changed phone or user id keeps its conversation.
        CREATE TABLE contact_aliases (
            client_id INTEGER NOT NULL REFERENCES clients,
            kind TEXT NOT NULL CHECK (kind IN ('phone', 'user_id')),
            value TEXT NOT NULL,
            contact_id INTEGER NOT NULL REFERENCES contacts ON DELETE CASCADE,
            PRIMARY KEY (client_id, kind, value)
        ) WITHOUT ROWID;
        CREATE INDEX contact_aliases_contact ON contact_aliases (contact_id);

        CREATE TABLE conversations (
            id INTEGER PRIMARY KEY,
            number_id INTEGER NOT NULL REFERENCES numbers,
            contact_id INTEGER NOT NULL REFERENCES contacts,
            state TEXT NOT NULL DEFAULT 'bot' CHECK (state IN ('bot', 'human', 'closed')),
            needs_person_at REAL,
            needs_person_reason TEXT,
            window_closes_at REAL,
            -- the answer that is owed: since when, and when the model may begin
            waiting_since REAL,
            reply_due_at REAL,
            reply_failures INTEGER NOT NULL DEFAULT 0,
            reply_restarted INTEGER NOT NULL DEFAULT 0,
            held_at REAL,
            claim_owner TEXT,
            claim_expires_at REAL,
            created_at REAL NOT NULL,
            UNIQUE (number_id, contact_id)
        );
        CREATE INDEX conversations_contact ON conversations (contact_id);
        CREATE INDEX conversations_due ON conversations (reply_due_at) WHERE waiting_since IS NOT NULL;

        CREATE TABLE messages (
            id INTEGER PRIMARY KEY,
            conversation_id INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
            number_id INTEGER NOT NULL REFERENCES numbers,
            direction TEXT NOT NULL CHECK (direction IN ('in', 'out')),
            -- in:  waiting (an answer is owed) answered unanswered (a person must) withdrawn noted (no answer is owed)
            -- out: queued sending unknown sent delivered read played failed
            state TEXT NOT NULL CHECK (state IN (
                'waiting', 'answered', 'unanswered', 'withdrawn', 'noted',
                'queued', 'sending', 'unknown', 'sent', 'delivered', 'read', 'played', 'failed')),
            kind TEXT NOT NULL,
            purpose TEXT,
            text TEXT NOT NULL,
            media TEXT,
            raw TEXT,
            external_id TEXT,
            public_id TEXT UNIQUE,
            reply_to_external_id TEXT,
            group_id TEXT,
            provider_at REAL NOT NULL,
            created_at REAL NOT NULL,
            edited_at REAL,
            revoked_at REAL,
            -- sending
            due_at REAL,
            attempt INTEGER NOT NULL DEFAULT 0,
            failures INTEGER NOT NULL DEFAULT 0,
            throttles INTEGER NOT NULL DEFAULT 0,
            lease_owner TEXT,
            lease_expires_at REAL,
            sent_at REAL,
            delivered_at REAL,
            read_at REAL,
            failed_at REAL,
            error_code INTEGER,
            error_title TEXT,
            error_details TEXT
        );
        -- 'Nothing is answered twice' rests on this index: a provider's redelivery is the same row, for ever.
        CREATE UNIQUE INDEX messages_external ON messages (number_id, external_id) WHERE external_id IS NOT NULL;
        CREATE INDEX messages_conversation ON messages (conversation_id, id);
        CREATE INDEX messages_waiting ON messages (conversation_id) WHERE state = 'waiting';
        CREATE INDEX messages_to_send ON messages (conversation_id, id) WHERE state IN ('queued', 'sending', 'unknown');

        -- Statuses of messages that are not (yet) known by this external id.
        CREATE TABLE unmatched_statuses (
            number_id INTEGER NOT NULL REFERENCES numbers,
            external_id TEXT NOT NULL,
            status TEXT NOT NULL,
            at REAL NOT NULL,
            raw TEXT NOT NULL,
            received_at REAL NOT NULL,
            PRIMARY KEY (number_id, external_id, status)
        ) WITHOUT ROWID;

        -- What could not be understood, whole. `event_key` names the webhook and the part, so a replay adds nothing.
        CREATE TABLE rejected_events (
            id INTEGER PRIMARY KEY,
            event_key TEXT NOT NULL UNIQUE,
            channel TEXT NOT NULL,
            reason TEXT NOT NULL,
            body TEXT NOT NULL,
            received_at REAL NOT NULL
        );

        CREATE TABLE account_events (
            id INTEGER PRIMARY KEY,
            event_key TEXT NOT NULL UNIQUE,
            number_id INTEGER REFERENCES numbers,
            account_id TEXT NOT NULL,
            field TEXT NOT NULL,
            raw TEXT NOT NULL,
            received_at REAL NOT NULL
        );

        -- What is known of each model on each Ollama host, shared by the processes.
        CREATE TABLE models (
            host TEXT NOT NULL,
            model TEXT NOT NULL,
            away_since REAL,
            retry_at REAL,
            failures INTEGER NOT NULL DEFAULT 0,
            reason TEXT,
            characters_per_token REAL,
            updated_at REAL NOT NULL,
            PRIMARY KEY (host, model)
        ) WITHOUT ROWID
        """,
    )


@migrations()
def m002_drafts(db: Database) -> None:
    _statements(
        db,
        """
        CREATE TABLE drafts (
            conversation_id INTEGER PRIMARY KEY REFERENCES conversations ON DELETE CASCADE,
            message_ids TEXT NOT NULL,
            text TEXT NOT NULL,
            created_at REAL NOT NULL
        )
        """,
    )


@migrations()
def m003_users(db: Database) -> None:
    _statements(
        db,
        """
        CREATE TABLE users (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            email TEXT NOT NULL COLLATE NOCASE UNIQUE,
            role TEXT NOT NULL CHECK (role IN ('owner', 'agent')),
            password_hash TEXT NOT NULL,
            disabled_at REAL,
            created_at REAL NOT NULL,
            last_seen_at REAL
        );

        -- A browser that is logged in. Only the SHA-256 of its cookie is kept, so a copy of the database opens no desk.
        CREATE TABLE user_sessions (
            id INTEGER PRIMARY KEY,
            token_hash TEXT NOT NULL UNIQUE,
            user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
            created_at REAL NOT NULL,
            last_used_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            user_agent TEXT NOT NULL,
            address TEXT NOT NULL
        );
        CREATE INDEX user_sessions_user ON user_sessions (user_id);

        -- Links that are good once: the first owner's, an invitation, a new password. Only their SHA-256 is kept.
        CREATE TABLE login_links (
            id INTEGER PRIMARY KEY,
            token_hash TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind IN ('first_run', 'invitation', 'password')),
            role TEXT CHECK (role IN ('owner', 'agent')),
            email TEXT COLLATE NOCASE,
            user_id INTEGER REFERENCES users ON DELETE CASCADE,
            created_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            used_at REAL
        )
        """,
    )


@migrations()
def m004_take_over(db: Database) -> None:
    _statements(
        db,
        """
        ALTER TABLE conversations ADD COLUMN taken_at REAL;
        -- a user's id; NULL with `taken_at` set: by the phone app, or the customer asked for a person
        ALTER TABLE conversations ADD COLUMN taken_by INTEGER;
        -- when the bot answers again of itself
        ALTER TABLE conversations ADD COLUMN resumes_at REAL;
        ALTER TABLE conversations ADD COLUMN told_wait_at REAL;
        CREATE INDEX conversations_resume ON conversations (resumes_at) WHERE state = 'human';

        ALTER TABLE clients ADD COLUMN pause_hours REAL NOT NULL DEFAULT 12;
        -- words with which a customer asks for a person, one on each line; NULL: the usual ones of many languages
        ALTER TABLE clients ADD COLUMN person_words TEXT;
        ALTER TABLE clients ADD COLUMN person_text TEXT NOT NULL
            DEFAULT 'Thank you. A person will answer you here. You can expect that by {when}.';
        ALTER TABLE clients ADD COLUMN away_text TEXT NOT NULL
            DEFAULT 'Thank you. A person will answer you here. We are open again from {when}.';
        -- opening hours, JSON: {"mon": [["09:00", "18:00"]], …}; NULL: always open
        ALTER TABLE clients ADD COLUMN hours TEXT;
        -- NULL: a customer is never told how long the answer will take
        ALTER TABLE clients ADD COLUMN wait_threshold_seconds REAL DEFAULT 180;
        ALTER TABLE clients ADD COLUMN wait_text TEXT NOT NULL
            DEFAULT 'Many people are writing right now. You will have your answer by {when}.';

        ALTER TABLE messages ADD COLUMN user_id INTEGER;

        ALTER TABLE models ADD COLUMN answer_seconds REAL;
        ALTER TABLE models ADD COLUMN tokens_per_second REAL;

        CREATE TABLE notes (
            id INTEGER PRIMARY KEY,
            conversation_id INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
            user_id INTEGER NOT NULL,
            text TEXT NOT NULL,
            created_at REAL NOT NULL
        );
        CREATE INDEX notes_conversation ON notes (conversation_id, id);

        CREATE TABLE canned_answers (
            id INTEGER PRIMARY KEY,
            client_id INTEGER REFERENCES clients ON DELETE CASCADE,
            shortcut TEXT NOT NULL,
            text TEXT NOT NULL
        );
        CREATE UNIQUE INDEX canned_answers_shortcut ON canned_answers (COALESCE(client_id, 0), shortcut);

        -- An answer that an agent asked the model for; they edit it, nothing of it is sent by itself.
        CREATE TABLE suggestions (
            id INTEGER PRIMARY KEY,
            conversation_id INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
            user_id INTEGER NOT NULL,
            hint TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'ready', 'failed')),
            text TEXT NOT NULL DEFAULT '',
            created_at REAL NOT NULL
        )
        """,
    )


@migrations()
def m005_inbox(db: Database) -> None:
    """What the desk's list shows is kept on the conversation: a list over messages would read them all."""
    _statements(
        db,
        """
        ALTER TABLE conversations ADD COLUMN last_message_id INTEGER;
        ALTER TABLE conversations ADD COLUMN last_message_at REAL NOT NULL DEFAULT 0;
        -- customers' messages since somebody of the desk looked
        ALTER TABLE conversations ADD COLUMN unread INTEGER NOT NULL DEFAULT 0
        """,
    )
    db.conn.execute(
        """
        UPDATE conversations SET last_message_id = newest.id, last_message_at = newest.at
        FROM (SELECT conversation_id, MAX(id) AS id, MAX(created_at) AS at FROM messages GROUP BY conversation_id) AS newest
        WHERE conversations.id = newest.conversation_id
        """
    )
    db.conn.execute(
        """
        CREATE TRIGGER messages_newest AFTER INSERT ON messages BEGIN
            UPDATE conversations SET last_message_id = NEW.id, last_message_at = NEW.created_at,
                unread = CASE WHEN NEW.direction = 'out' THEN unread WHEN NEW.kind IN ('reaction', 'system') THEN unread
                    ELSE unread + 1 END
            WHERE id = NEW.conversation_id;
        END
        """
    )
    for name, condition in {
        "open": "state <> 'closed'",
        "closed": "state = 'closed'",
        "human": "state = 'human'",
        "unread": "unread > 0",
        "person": "needs_person_at IS NOT NULL",
    }.items():
        db.conn.execute(f"CREATE INDEX inbox_{name} ON conversations (last_message_at, id) WHERE {condition}")
    db.conn.execute("CREATE INDEX inbox_waiting ON conversations (waiting_since, id) WHERE waiting_since IS NOT NULL")


@migrations()
def m006_search(db: Database) -> None:
    """An index without a text of its own (content=''). spaced() is registered by database.connect()."""
    db.conn.execute(
        """CREATE VIRTUAL TABLE messages_fts USING fts5(text, content='', tokenize="unicode61 remove_diacritics 2", prefix='2 3')"""
    )
    db.conn.execute("INSERT INTO messages_fts (rowid, text) SELECT id, spaced(CAST(text AS BLOB)) FROM messages WHERE text <> ''")
    db.conn.execute(
        """
        CREATE TRIGGER messages_fts_added AFTER INSERT ON messages WHEN NEW.text <> '' BEGIN
            INSERT INTO messages_fts (rowid, text) VALUES (NEW.id, spaced(CAST(NEW.text AS BLOB)));
        END
        """
    )
    db.conn.execute(
        """
        CREATE TRIGGER messages_fts_changed AFTER UPDATE OF text ON messages WHEN NEW.text IS NOT OLD.text BEGIN
            INSERT INTO messages_fts (messages_fts, rowid, text) SELECT 'delete', OLD.id, spaced(CAST(OLD.text AS BLOB)) WHERE OLD.text <> '';
            INSERT INTO messages_fts (rowid, text) SELECT NEW.id, spaced(CAST(NEW.text AS BLOB)) WHERE NEW.text <> '';
        END
        """
    )
    db.conn.execute(
        """
        CREATE TRIGGER messages_fts_gone AFTER DELETE ON messages WHEN OLD.text <> '' BEGIN
            INSERT INTO messages_fts (messages_fts, rowid, text) VALUES ('delete', OLD.id, spaced(CAST(OLD.text AS BLOB)));
        END
        """
    )


@migrations()
def m007_dead_letters(db: Database) -> None:
    _statements(
        db,
        """
        ALTER TABLE messages ADD COLUMN dismissed_at REAL;
        ALTER TABLE messages ADD COLUMN dismissed_by INTEGER;
        ALTER TABLE messages ADD COLUMN dismissed_reason TEXT;
        -- the message that was queued in its place
        ALTER TABLE messages ADD COLUMN retried_as INTEGER;
        CREATE INDEX messages_dead ON messages (id)
            WHERE state = 'failed' AND direction = 'out' AND dismissed_at IS NULL AND retried_as IS NULL;
        CREATE INDEX messages_left_over ON messages (conversation_id) WHERE state = 'unanswered';

        -- the whole webhook that the part came in, so that it can be taken in again
        ALTER TABLE rejected_events ADD COLUMN webhook BLOB;
        ALTER TABLE rejected_events ADD COLUMN replayed_at REAL;
        ALTER TABLE rejected_events ADD COLUMN dismissed_at REAL;
        CREATE INDEX rejected_open ON rejected_events (id) WHERE replayed_at IS NULL AND dismissed_at IS NULL
        """,
    )


@migrations()
def m008_clients(db: Database) -> None:
    _statements(
        db,
        """
        ALTER TABLE clients ADD COLUMN persona TEXT NOT NULL DEFAULT '';
        -- '': the customer's own
        ALTER TABLE clients ADD COLUMN language TEXT NOT NULL DEFAULT '';
        ALTER TABLE clients ADD COLUMN temperature REAL;

        CREATE TABLE prompt_versions (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            text TEXT NOT NULL,
            user_id INTEGER,
            created_at REAL NOT NULL
        );
        CREATE INDEX prompt_versions_client ON prompt_versions (client_id, id);
        INSERT INTO prompt_versions (client_id, text, created_at) SELECT id, system_prompt, updated_at FROM clients;

        -- Questions put to the model with a prompt that may not be saved; nothing of it reaches a customer.
        CREATE TABLE tries (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            user_id INTEGER NOT NULL,
            prompt TEXT NOT NULL,
            persona TEXT NOT NULL,
            language TEXT NOT NULL,
            question TEXT NOT NULL,
            state TEXT NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'ready', 'failed')),
            text TEXT NOT NULL DEFAULT '',
            seconds REAL,
            tokens_per_second REAL,
            created_at REAL NOT NULL
        )
        """,
    )


@migrations()
def m009_measures(db: Database) -> None:
    _statements(
        db,
        """
        -- of the first part of an answer of the model's: how long the customer waited before it began, how long it wrote
        ALTER TABLE messages ADD COLUMN waited_seconds REAL;
        ALTER TABLE messages ADD COLUMN model_seconds REAL;

        -- What an hour that is over came to, for one client: numbers and histograms as JSON (store/measures.py).
        CREATE TABLE measures (
            hour INTEGER NOT NULL,
            client_id INTEGER NOT NULL,
            counted TEXT NOT NULL,
            PRIMARY KEY (hour, client_id)
        ) WITHOUT ROWID
        """,
    )


@migrations()
def m010_api(db: Database) -> None:
    _statements(
        db,
        """
        CREATE TABLE api_tokens (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            token_hash TEXT NOT NULL UNIQUE,
            -- NULL: every client
            client_id INTEGER REFERENCES clients ON DELETE CASCADE,
            -- words of store/api_tokens.py, parted by spaces
            scopes TEXT NOT NULL,
            created_by INTEGER,
            created_at REAL NOT NULL,
            last_used_at REAL,
            revoked_at REAL
        );

        -- What was answered to a POST that sends, under the key that its sender chose.
        CREATE TABLE idempotency (
            token_id INTEGER NOT NULL REFERENCES api_tokens ON DELETE CASCADE,
            key TEXT NOT NULL,
            request_hash TEXT NOT NULL,
            status INTEGER NOT NULL,
            answer TEXT NOT NULL,
            created_at REAL NOT NULL,
            PRIMARY KEY (token_id, key)
        ) WITHOUT ROWID;
        CREATE INDEX idempotency_age ON idempotency (created_at)
        """,
    )


@migrations()
def m011_answered_by(db: Database) -> None:
    _statements(
        db,
        """
        -- of a customer's message: the first part of the bot's answer to it. Withdrawn before it went out, it answers nothing.
        ALTER TABLE messages ADD COLUMN answered_by INTEGER;
        -- how long people lately took is asked inside the drain's transaction
        CREATE INDEX messages_of_people ON messages (id) WHERE purpose = 'person'
        """,
    )


@migrations()
def m012_kinds(db: Database) -> None:
    """What we send besides texts: its object is in `raw`, as the Cloud API has it, its file in `media`."""
    db.conn.execute("ALTER TABLE messages ADD COLUMN media_id INTEGER")
    db.conn.execute("CREATE INDEX messages_of_media ON messages (media_id) WHERE media_id IS NOT NULL")


@migrations()
def m013_templates(db: Database) -> None:
    _statements(
        db,
        """
        CREATE TABLE templates (
            id INTEGER PRIMARY KEY,
            account_id TEXT NOT NULL,
            external_id TEXT,
            name TEXT NOT NULL,
            language TEXT NOT NULL,
            status TEXT NOT NULL,
            category TEXT NOT NULL,
            parameter_format TEXT NOT NULL,
            components TEXT NOT NULL,
            reason TEXT,
            quality TEXT,
            updated_at REAL NOT NULL,
            UNIQUE (account_id, name, language)
        );

        -- When an account's list was last asked for, and why that failed.
        CREATE TABLE template_reads (
            account_id TEXT PRIMARY KEY,
            read_at REAL NOT NULL,
            error TEXT
        ) WITHOUT ROWID
        """,
    )


@migrations()
def m014_media(db: Database) -> None:
    _statements(
        db,
        """
        CREATE TABLE media (
            id INTEGER PRIMARY KEY,
            public_id TEXT NOT NULL UNIQUE,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            state TEXT NOT NULL CHECK (state IN ('wanted', 'ready', 'failed')),
            -- NULL: it was uploaded
            url TEXT,
            -- the name of its file (store/files.py); several rows may have one
            sha256 TEXT,
            mime_type TEXT,
            size_bytes INTEGER,
            filename TEXT NOT NULL DEFAULT '',
            animated INTEGER NOT NULL DEFAULT 0,
            error_code TEXT,
            error_words TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            due_at REAL,
            lease_owner TEXT,
            lease_expires_at REAL,
            created_at REAL NOT NULL,
            used_at REAL NOT NULL
        );
        CREATE INDEX media_sha256 ON media (sha256) WHERE state = 'ready';
        CREATE INDEX media_wanted ON media (id) WHERE state = 'wanted';
        CREATE INDEX media_used ON media (used_at) WHERE state = 'ready';

        -- What each number has handed to its provider, and the provider's name for it.
        CREATE TABLE media_uploads (
            number_id INTEGER NOT NULL REFERENCES numbers ON DELETE CASCADE,
            sha256 TEXT NOT NULL,
            external_id TEXT NOT NULL,
            uploaded_at REAL NOT NULL,
            PRIMARY KEY (number_id, sha256)
        ) WITHOUT ROWID
        """,
    )


@migrations()
def m015_schedules(db: Database) -> None:
    _statements(
        db,
        """
        -- A message for later: once (`rule` NULL) or again and again. `content`: what is sent, as JSON, see flows/firing.py.
        CREATE TABLE schedules (
            id INTEGER PRIMARY KEY,
            public_id TEXT NOT NULL UNIQUE,
            client_id INTEGER NOT NULL REFERENCES clients,
            number_id INTEGER NOT NULL REFERENCES numbers,
            -- NULL: somebody never met, whose conversation begins when it first goes out
            conversation_id INTEGER REFERENCES conversations,
            phone TEXT,
            name TEXT NOT NULL,
            content TEXT NOT NULL,
            media_id INTEGER,
            rule TEXT,
            time_zone TEXT NOT NULL,
            next_at REAL,
            late_limit_seconds REAL NOT NULL,
            state TEXT NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'paused', 'done', 'cancelled', 'missed')),
            created_by INTEGER,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            last_fired_at REAL,
            CHECK (conversation_id IS NOT NULL OR phone IS NOT NULL),
            CHECK (state <> 'active' OR next_at IS NOT NULL)
        );
        CREATE INDEX schedules_due ON schedules (next_at, id) WHERE state = 'active';
        CREATE INDEX schedules_client ON schedules (client_id, id);
        CREATE INDEX schedules_conversation ON schedules (conversation_id);

        -- 'Nothing fires twice' rests on this key, however many schedulers there are and whatever dies.
        CREATE TABLE schedule_firings (
            schedule_id INTEGER NOT NULL REFERENCES schedules ON DELETE CASCADE,
            due_at REAL NOT NULL,
            fired_at REAL NOT NULL,
            outcome TEXT NOT NULL CHECK (outcome IN ('sent', 'missed', 'refused')),
            message_id INTEGER,
            code TEXT,
            words TEXT,
            PRIMARY KEY (schedule_id, due_at)
        ) WITHOUT ROWID;
        CREATE INDEX schedule_firings_fired ON schedule_firings (fired_at);
        CREATE INDEX schedule_firings_unsent ON schedule_firings (fired_at) WHERE outcome <> 'sent'
        """,
    )


@migrations()
def m016_inbox_client(db: Database) -> None:
    # The filters that can hold nearly everything: what the bot answers, nobody may ever look at.
    for name, condition in {"open": "state <> 'closed'", "closed": "state = 'closed'", "unread": "unread > 0"}.items():
        db.conn.execute(
            f"CREATE INDEX inbox_{name}_of_number ON conversations (number_id, last_message_at, id) WHERE {condition}"
        )
    db.conn.execute(
        """
        CREATE INDEX inbox_window ON conversations (window_closes_at, id)
        WHERE (waiting_since IS NOT NULL OR state = 'human' OR needs_person_at IS NOT NULL)
        """
    )


@migrations()
def m017_audiences(db: Database) -> None:
    _statements(
        db,
        """
        -- where numbers without a country code belong (ISO 3166); NULL: the country of the client's own number
        ALTER TABLE clients ADD COLUMN region TEXT;

        CREATE TABLE contact_tags (
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            contact_id INTEGER NOT NULL REFERENCES contacts ON DELETE CASCADE,
            tag TEXT NOT NULL,
            PRIMARY KEY (client_id, tag, contact_id)
        ) WITHOUT ROWID;
        CREATE INDEX contact_tags_contact ON contact_tags (contact_id);
        CREATE INDEX contacts_client ON contacts (client_id, id);

        -- Ids are never used again: members of a deleted audience go after it, in small steps.
        CREATE TABLE audiences (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            public_id TEXT NOT NULL UNIQUE,
            client_id INTEGER NOT NULL REFERENCES clients,
            number_id INTEGER REFERENCES numbers,
            name TEXT NOT NULL,
            source TEXT NOT NULL CHECK (source IN ('csv', 'paste', 'tag', 'filter')),
            state TEXT NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'reading', 'ready', 'failed')),
            problem TEXT NOT NULL DEFAULT '',
            -- of a file: its path under DATA_DIR while it is needed, and the country of numbers without a country code
            file TEXT,
            region TEXT,
            -- of tag and filter: which contacts, as JSON (flows/contact_filter.py)
            filter TEXT,
            -- every row of the source is one of: a member, bad, a duplicate, opted out, unreachable
            total_bytes INTEGER NOT NULL DEFAULT 0,
            read_bytes INTEGER NOT NULL DEFAULT 0,
            total_rows INTEGER,
            rows INTEGER NOT NULL DEFAULT 0,
            good INTEGER NOT NULL DEFAULT 0,
            bad INTEGER NOT NULL DEFAULT 0,
            duplicates INTEGER NOT NULL DEFAULT 0,
            opted_out INTEGER NOT NULL DEFAULT 0,
            unreachable INTEGER NOT NULL DEFAULT 0,
            -- the names of the variables, JSON, in the source's order
            variables TEXT NOT NULL DEFAULT '[]',
            -- what was found out on the way, for who uploaded it
            remark TEXT NOT NULL DEFAULT '',
            checkpoint TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            lease_owner TEXT,
            lease_expires_at REAL,
            created_by INTEGER,
            created_at REAL NOT NULL,
            finished_at REAL
        );
        CREATE INDEX audiences_client ON audiences (client_id, id);
        CREATE INDEX audiences_unfinished ON audiences (id) WHERE state IN ('wanted', 'reading');

        -- Positions run from 1 to the audience's `good` without a gap, in the source's order.
        CREATE TABLE audience_members (
            audience_id INTEGER NOT NULL,
            position INTEGER NOT NULL,
            phone TEXT NOT NULL,
            contact_id INTEGER,
            variables TEXT NOT NULL,
            time_zone TEXT NOT NULL,
            country TEXT NOT NULL,
            PRIMARY KEY (audience_id, position)
        ) WITHOUT ROWID;
        CREATE UNIQUE INDEX audience_members_phone ON audience_members (audience_id, phone);

        -- Lines that became no members. `line` is that of the file; of contacts, the contact's id.
        CREATE TABLE audience_bad_lines (
            audience_id INTEGER NOT NULL,
            line INTEGER NOT NULL,
            cause TEXT NOT NULL CHECK (cause IN ('bad', 'opted_out', 'unreachable')),
            reason TEXT NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (audience_id, line)
        ) WITHOUT ROWID
        """,
    )


@migrations()
def m018_knowledge(db: Database) -> None:
    _statements(
        db,
        """
        -- One version of one document. Its file lies in DATA_DIR/knowledge under its SHA-256.
        CREATE TABLE knowledge_documents (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            name TEXT NOT NULL,
            kind TEXT NOT NULL,
            url TEXT,
            sha256 TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            version INTEGER NOT NULL DEFAULT 1,
            -- the version that goes on serving until this one is found
            replaces INTEGER,
            -- new: to be read; read: its text is kept; failed: `error` says why
            state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'read', 'failed')),
            error TEXT,
            notes TEXT NOT NULL DEFAULT '[]',
            pages_read INTEGER,
            pages INTEGER,
            -- what people want of it, and whether searches find it now
            active INTEGER NOT NULL DEFAULT 1,
            superseded_at REAL,
            removed_at REAL,
            live INTEGER NOT NULL DEFAULT 0,
            chunk_count INTEGER NOT NULL DEFAULT 0,
            -- 0: something is to be done that jobs.read_document does
            settled INTEGER NOT NULL DEFAULT 0,
            -- the embedding model that has all of its chunks
            embedded_by INTEGER,
            claim_owner TEXT,
            claim_expires_at REAL,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL
        );
        CREATE INDEX knowledge_documents_client ON knowledge_documents (client_id, id);
        CREATE INDEX knowledge_documents_unsettled ON knowledge_documents (id) WHERE settled = 0;
        CREATE INDEX knowledge_documents_live ON knowledge_documents (embedded_by) WHERE live = 1;

        CREATE TABLE knowledge_sections (
            document_id INTEGER NOT NULL REFERENCES knowledge_documents ON DELETE CASCADE,
            position INTEGER NOT NULL,
            headings TEXT NOT NULL,
            page INTEGER,
            text TEXT NOT NULL,
            PRIMARY KEY (document_id, position)
        ) WITHOUT ROWID;

        -- `hash`: of all that the indexes are given for it (document, headings, text).
        CREATE TABLE knowledge_chunks (
            id INTEGER PRIMARY KEY,
            document_id INTEGER NOT NULL REFERENCES knowledge_documents ON DELETE CASCADE,
            client_id INTEGER NOT NULL,
            position INTEGER NOT NULL,
            headings TEXT NOT NULL,
            page INTEGER,
            text TEXT NOT NULL,
            hash TEXT NOT NULL,
            UNIQUE (document_id, position)
        );
        CREATE INDEX knowledge_chunks_hash ON knowledge_chunks (hash);
        -- whose a hit is, without reading its text
        CREATE INDEX knowledge_chunks_client ON knowledge_chunks (client_id, id, document_id);

        -- Neither holds text of its own (and with less than full detail there would be no ranking).
        CREATE VIRTUAL TABLE knowledge_words USING fts5(text, content='', tokenize='unicode61 remove_diacritics 2');
        CREATE VIRTUAL TABLE knowledge_trigrams USING fts5(text, content='', tokenize='trigram');
        CREATE VIRTUAL TABLE knowledge_word_counts USING fts5vocab(knowledge_words, row);
        CREATE VIRTUAL TABLE knowledge_trigram_counts USING fts5vocab(knowledge_trigrams, row);

        CREATE TABLE knowledge_models (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            away_reason TEXT,
            retry_at REAL
        );
        -- Computed once for each text and model, whatever document it stands in. `bits`: the signs of `vector` (float32).
        CREATE TABLE knowledge_embeddings (
            id INTEGER PRIMARY KEY,
            hash TEXT NOT NULL,
            model_id INTEGER NOT NULL REFERENCES knowledge_models,
            bits BLOB NOT NULL,
            vector BLOB NOT NULL,
            UNIQUE (hash, model_id)
        );
        -- What a search by meaning looks through, narrow and in one place for each client.
        CREATE TABLE knowledge_vectors (
            client_id INTEGER NOT NULL,
            model_id INTEGER NOT NULL,
            chunk_id INTEGER NOT NULL REFERENCES knowledge_chunks ON DELETE CASCADE,
            embedding_id INTEGER NOT NULL,
            bits BLOB NOT NULL,
            PRIMARY KEY (client_id, model_id, chunk_id)
        ) WITHOUT ROWID;
        CREATE INDEX knowledge_vectors_chunk ON knowledge_vectors (chunk_id);
        -- Which model's vectors are searched: the old one's until the new one has all.
        CREATE TABLE knowledge_serving (
            client_id INTEGER PRIMARY KEY REFERENCES clients ON DELETE CASCADE,
            model_id INTEGER NOT NULL REFERENCES knowledge_models
        );

        -- What the model was shown for an answer (its first part), as it was then.
        CREATE TABLE knowledge_seen (
            message_id INTEGER NOT NULL REFERENCES messages ON DELETE CASCADE,
            position INTEGER NOT NULL,
            document_id INTEGER NOT NULL,
            place TEXT NOT NULL,
            text TEXT NOT NULL,
            similarity REAL,
            PRIMARY KEY (message_id, position)
        ) WITHOUT ROWID;
        ALTER TABLE drafts ADD COLUMN passages TEXT NOT NULL DEFAULT '[]'
        """,
    )


@migrations()
def m019_documents(db: Database) -> None:
    _statements(
        db,
        """
        -- Many documents given together: one kind of work, one set of options. What has become of it is what its items say.
        CREATE TABLE document_batches (
            id INTEGER PRIMARY KEY,
            public_id TEXT NOT NULL UNIQUE,
            client_id INTEGER REFERENCES clients ON DELETE CASCADE,
            token_id INTEGER,
            kind TEXT NOT NULL CHECK (kind IN ('summary', 'classification', 'extraction')),
            -- JSON: flows/document_prompts.py
            options TEXT NOT NULL,
            -- since when it is this batch's turn
            turn_at REAL NOT NULL DEFAULT 0,
            created_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            expired_at REAL
        );
        CREATE INDEX document_batches_turn ON document_batches (turn_at) WHERE expired_at IS NULL;
        CREATE INDEX document_batches_age ON document_batches (expires_at);

        -- One document and what is to be done with it, alone or as an item of a batch.
        CREATE TABLE document_tasks (
            id INTEGER PRIMARY KEY,
            public_id TEXT NOT NULL UNIQUE,
            batch_id INTEGER REFERENCES document_batches ON DELETE CASCADE,
            position INTEGER NOT NULL DEFAULT 0,
            -- the sender's own: a file's name, a row's number
            name TEXT NOT NULL DEFAULT '',
            client_id INTEGER REFERENCES clients ON DELETE CASCADE,
            token_id INTEGER,
            kind TEXT NOT NULL,
            -- NULL: the batch's
            options TEXT,
            -- '': whichever the settings name
            model TEXT NOT NULL DEFAULT '',
            state TEXT NOT NULL DEFAULT 'queued'
                CHECK (state IN ('queued', 'working', 'paused', 'done', 'failed', 'cancelled', 'expired')),
            -- queued: when it may begin; working: when its lease ends
            due_at REAL NOT NULL,
            claim_owner TEXT,
            -- claims since the last part that was kept, and calls that came to nothing
            attempts INTEGER NOT NULL DEFAULT 0,
            failures INTEGER NOT NULL DEFAULT 0,
            part_bytes INTEGER NOT NULL,
            parts_done INTEGER NOT NULL DEFAULT 0,
            parts_total INTEGER NOT NULL,
            result TEXT,
            error TEXT,
            -- the model's own words, where they did not fit the schema
            first_answer TEXT,
            second_answer TEXT,
            seconds REAL NOT NULL DEFAULT 0,
            created_at REAL NOT NULL,
            started_at REAL,
            finished_at REAL,
            expires_at REAL
        );
        CREATE INDEX document_tasks_open ON document_tasks (batch_id, position) WHERE state IN ('queued', 'working');
        CREATE INDEX document_tasks_batch ON document_tasks (batch_id, position);
        CREATE INDEX document_tasks_age ON document_tasks (expires_at) WHERE batch_id IS NULL;

        -- Apart, for a row is written anew whenever its state changes.
        CREATE TABLE document_texts (
            task_id INTEGER PRIMARY KEY REFERENCES document_tasks ON DELETE CASCADE,
            text TEXT NOT NULL
        );

        -- What a long document's parts came to, in order.
        CREATE TABLE document_parts (
            task_id INTEGER NOT NULL REFERENCES document_tasks ON DELETE CASCADE,
            number INTEGER NOT NULL,
            text TEXT NOT NULL,
            PRIMARY KEY (task_id, number)
        ) WITHOUT ROWID
        """,
    )


@migrations()
def m019b_document_files(db: Database) -> None:
    _statements(
        db,
        """
        -- Files that must be read before there is a text to work on (PDF, DOCX, HTML). A row goes when its file is read.
        CREATE TABLE document_files (
            task_id INTEGER PRIMARY KEY REFERENCES document_tasks ON DELETE CASCADE,
            -- as flows/extraction has it
            kind TEXT NOT NULL,
            data BLOB NOT NULL,
            -- when it may be read; while it is read: when its lease ends
            due_at REAL NOT NULL,
            owner TEXT,
            attempts INTEGER NOT NULL DEFAULT 0
        );
        CREATE INDEX document_files_due ON document_files (due_at)
        """,
    )


@migrations()
def m020_ops(db: Database) -> None:
    """What only ever grows, for /metrics: counted where it happens, in its own transaction, so no process can forget or double it."""
    _statements(
        db,
        """
        CREATE TABLE counters (
            name TEXT NOT NULL,
            label TEXT NOT NULL,
            value REAL NOT NULL,
            PRIMARY KEY (name, label)
        ) WITHOUT ROWID
        """,
    )
    count = "ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value;"
    db.conn.execute(
        f"""
        CREATE TRIGGER counters_added AFTER INSERT ON messages BEGIN
            INSERT INTO counters VALUES ('messages', CASE NEW.direction WHEN 'in' THEN 'in' ELSE COALESCE(NEW.purpose, 'other') END, 1) {count}
        END
        """
    )
    db.conn.execute(
        f"""
        CREATE TRIGGER counters_outcome AFTER UPDATE OF state ON messages
        WHEN NEW.state IS NOT OLD.state AND NEW.state IN ('sending', 'unknown', 'sent', 'delivered', 'read', 'failed') BEGIN
            INSERT INTO counters VALUES ('outcomes', NEW.state, 1) {count}
            INSERT INTO counters SELECT 'failures', COALESCE(NEW.error_code, ''), 1 WHERE NEW.state = 'failed' {count}
        END
        """
    )
    seconds = "(SELECT 'waited' AS part, NEW.waited_seconds AS s UNION ALL SELECT 'model', COALESCE(NEW.model_seconds, 0)"
    seconds += " UNION ALL SELECT 'send', NEW.sent_at - NEW.created_at"
    seconds += " UNION ALL SELECT 'answer', NEW.waited_seconds + COALESCE(NEW.model_seconds, 0) + NEW.sent_at - NEW.created_at)"
    bounds = (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800)
    classes = " ".join(f"WHEN s <= {bound} THEN '{bound}'" for bound in bounds)
    db.conn.execute(
        f"""
        CREATE TRIGGER counters_answered AFTER UPDATE OF sent_at ON messages
        WHEN OLD.sent_at IS NULL AND NEW.sent_at IS NOT NULL AND NEW.waited_seconds IS NOT NULL BEGIN
            INSERT INTO counters SELECT part, CASE {classes} ELSE '+Inf' END, 1 FROM {seconds} WHERE TRUE {count}
            INSERT INTO counters SELECT part, 'sum', MAX(0, s) FROM {seconds} WHERE TRUE {count}
        END
        """
    )
    db.conn.execute(
        f"""
        CREATE TRIGGER counters_taken_over AFTER UPDATE OF claim_owner ON conversations
        WHEN OLD.claim_owner IS NOT NULL AND NEW.claim_owner IS NOT NULL AND NEW.claim_owner <> OLD.claim_owner BEGIN
            INSERT INTO counters VALUES ('leases', 'taken over', 1) {count}
        END
        """
    )


@migrations()
def m021_broadcasts(db: Database) -> None:
    """A recipient is a message; one that is only a broadcast's moves no conversation up the desk's list."""
    _statements(
        db,
        """
        CREATE TABLE broadcasts (
            id INTEGER PRIMARY KEY,
            public_id TEXT NOT NULL UNIQUE,
            client_id INTEGER NOT NULL REFERENCES clients,
            number_id INTEGER NOT NULL REFERENCES numbers,
            audience_id INTEGER NOT NULL REFERENCES audiences,
            name TEXT NOT NULL,
            content TEXT NOT NULL,
            media_id INTEGER,
            state TEXT NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'scheduled', 'running', 'paused', 'done', 'cancelled')),
            pause_code TEXT,
            pause_words TEXT,
            starts_at REAL,
            messages_per_second REAL,
            spread_seconds REAL,
            quiet_from INTEGER,
            quiet_until INTEGER,
            most_waiting INTEGER,
            error_limit REAL NOT NULL DEFAULT 0.1,
            position INTEGER NOT NULL DEFAULT 0,
            total INTEGER NOT NULL DEFAULT 0,
            guard_failed INTEGER NOT NULL DEFAULT 0,
            guard_out INTEGER NOT NULL DEFAULT 0,
            callback_url TEXT,
            created_by INTEGER,
            created_at REAL NOT NULL,
            started_at REAL,
            finished_at REAL
        );
        CREATE INDEX broadcasts_open ON broadcasts (state, starts_at) WHERE state IN ('scheduled', 'running');

        -- members that became no message, and why
        CREATE TABLE broadcast_skips (
            broadcast_id INTEGER NOT NULL REFERENCES broadcasts ON DELETE CASCADE,
            position INTEGER NOT NULL,
            phone TEXT NOT NULL,
            cause TEXT NOT NULL,
            PRIMARY KEY (broadcast_id, position)
        ) WITHOUT ROWID;

        ALTER TABLE messages ADD COLUMN broadcast_id INTEGER;
        -- when the customer first wrote after it
        ALTER TABLE messages ADD COLUMN replied_at REAL;
        CREATE INDEX messages_of_broadcast ON messages (broadcast_id, state, due_at) WHERE broadcast_id IS NOT NULL;
        CREATE INDEX messages_unreplied ON messages (conversation_id) WHERE broadcast_id IS NOT NULL AND replied_at IS NULL;

        -- what is said to a customer who writes STOP, and to one who writes START after that
        ALTER TABLE clients ADD COLUMN stop_text TEXT NOT NULL
            DEFAULT 'You will get no more offers from us. Write START if you want them again.';
        ALTER TABLE clients ADD COLUMN start_text TEXT NOT NULL DEFAULT 'Welcome back: you will hear of our offers again.';

        DROP TRIGGER messages_newest
        """,
    )
    db.conn.execute(
        """
        CREATE TRIGGER messages_newest AFTER INSERT ON messages WHEN NEW.purpose IS NOT 'broadcast' BEGIN
            UPDATE conversations SET last_message_id = NEW.id, last_message_at = NEW.created_at,
                unread = CASE WHEN NEW.direction = 'out' THEN unread WHEN NEW.kind IN ('reaction', 'system') THEN unread
                    ELSE unread + 1 END
            WHERE id = NEW.conversation_id;
        END
        """
    )
    db.conn.execute(
        """
        CREATE TRIGGER messages_replied AFTER INSERT ON messages WHEN NEW.direction = 'in' BEGIN
            UPDATE messages SET replied_at = NEW.created_at
            WHERE conversation_id = NEW.conversation_id AND broadcast_id IS NOT NULL AND replied_at IS NULL;
        END
        """
    )


@migrations()
def m022_callbacks(db: Database) -> None:
    _statements(
        db,
        """
        CREATE TABLE callbacks (
            id INTEGER PRIMARY KEY,
            public_id TEXT NOT NULL UNIQUE,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            url TEXT NOT NULL,
            event TEXT NOT NULL,
            body TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('wanted', 'delivered', 'failed')),
            attempts INTEGER NOT NULL DEFAULT 0,
            due_at REAL,
            status INTEGER,
            words TEXT,
            created_at REAL NOT NULL
        );
        CREATE INDEX callbacks_due ON callbacks (due_at) WHERE state = 'wanted'
        """,
    )


@migrations()
def m023_knowledge(db: Database) -> None:
    _statements(
        db,
        """
        -- answers rest on the documents alone; what they do not hold gets `unknown_text` and a person
        ALTER TABLE clients ADD COLUMN knowledge_only INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE clients ADD COLUMN unknown_text TEXT NOT NULL
            DEFAULT 'I cannot answer that from what I have here. I have asked a colleague to look at it.';
        -- a line under an answer names the documents it was made of
        ALTER TABLE clients ADD COLUMN shows_sources INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE clients ADD COLUMN sources_text TEXT NOT NULL DEFAULT 'From:';
        -- with the model away, the holding text may carry a passage
        ALTER TABLE clients ADD COLUMN passage_when_away INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE clients ADD COLUMN passage_text TEXT NOT NULL DEFAULT 'Until then, this is what our documents say:';

        -- why the documents did not answer, where they did not (see questions.cause)
        ALTER TABLE drafts ADD COLUMN gap TEXT;
        ALTER TABLE tries ADD COLUMN gap TEXT;
        ALTER TABLE knowledge_seen ADD COLUMN page INTEGER;

        -- what was written under an answer to name its sources: the model is not shown it as words of its own
        CREATE TABLE knowledge_sources (
            message_id INTEGER PRIMARY KEY REFERENCES messages ON DELETE CASCADE,
            line TEXT NOT NULL
        );

        -- Questions that the documents did not answer, by likeness.
        CREATE TABLE question_groups (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            text TEXT NOT NULL,
            word_count INTEGER NOT NULL,
            model_id INTEGER,
            bits BLOB,
            vector BLOB,
            count INTEGER NOT NULL DEFAULT 0,
            latest_at REAL NOT NULL,
            state TEXT NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'dismissed', 'answered')),
            document_id INTEGER,
            answered_at REAL
        );
        CREATE INDEX question_groups_open ON question_groups (client_id, state, count, latest_at);
        CREATE INDEX question_groups_answered ON question_groups (client_id, answered_at) WHERE state = 'answered';
        CREATE INDEX question_groups_vectors ON question_groups (client_id, model_id, latest_at) WHERE vector IS NOT NULL;

        CREATE TABLE question_words (
            client_id INTEGER NOT NULL,
            word TEXT NOT NULL,
            group_id INTEGER NOT NULL REFERENCES question_groups ON DELETE CASCADE,
            PRIMARY KEY (client_id, word, group_id)
        ) WITHOUT ROWID;
        CREATE INDEX question_words_group ON question_words (group_id);

        CREATE TABLE questions (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            conversation_id INTEGER NOT NULL REFERENCES conversations ON DELETE CASCADE,
            -- the customer's message that asks: a question is kept once
            message_id INTEGER NOT NULL UNIQUE,
            cause TEXT NOT NULL CHECK (cause IN ('no_passage', 'declined', 'person')),
            text TEXT NOT NULL,
            asked_at REAL NOT NULL,
            -- NULL: to be grouped
            group_id INTEGER REFERENCES question_groups ON DELETE CASCADE
        );
        CREATE INDEX questions_ungrouped ON questions (id) WHERE group_id IS NULL;
        CREATE INDEX questions_group ON questions (group_id, id);
        CREATE INDEX questions_age ON questions (asked_at)
        """,
    )


@migrations()
def m024_replays(db: Database) -> None:
    """Past answers and saved questions asked again. What customers wrote is not copied: it goes with their messages."""
    _statements(
        db,
        """
        CREATE TABLE checks (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            question TEXT NOT NULL,
            must TEXT NOT NULL,
            must_not TEXT NOT NULL,
            must_decline INTEGER NOT NULL DEFAULT 0,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL
        );
        CREATE INDEX checks_client ON checks (client_id, id);

        CREATE TABLE replays (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            kind TEXT NOT NULL CHECK (kind IN ('turns', 'checks')),
            chosen TEXT NOT NULL,
            candidate TEXT NOT NULL,
            model TEXT NOT NULL,
            user_id INTEGER,
            created_at REAL NOT NULL,
            adopted_at REAL
        );
        CREATE INDEX replays_client ON replays (client_id, id);

        -- message_id: the first part of the answer that was given; question: a check as it was when it was asked
        CREATE TABLE replay_items (
            id INTEGER PRIMARY KEY,
            replay_id INTEGER NOT NULL REFERENCES replays ON DELETE CASCADE,
            position INTEGER NOT NULL,
            message_id INTEGER REFERENCES messages ON DELETE CASCADE,
            question TEXT,
            state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'working', 'paused', 'done', 'failed', 'cancelled')),
            due_at REAL NOT NULL,
            claim_owner TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            failures INTEGER NOT NULL DEFAULT 0,
            sequence INTEGER,
            text TEXT,
            passages TEXT,
            figures TEXT,
            passed INTEGER,
            error TEXT,
            mark TEXT CHECK (mark IN ('better', 'worse', 'same')),
            finished_at REAL
        );
        CREATE INDEX replay_items_due ON replay_items (due_at) WHERE state IN ('queued', 'working');
        CREATE INDEX replay_items_replay ON replay_items (replay_id, sequence);
        CREATE INDEX replay_items_message ON replay_items (message_id) WHERE message_id IS NOT NULL
        """,
    )


@migrations()
def m025_models_by_kind(db: Database) -> None:
    """NULL: the setting of that kind of work decides."""
    for kind in ("summary", "classification", "extraction"):
        db.conn.execute(f"ALTER TABLE clients ADD COLUMN {kind}_model TEXT")


@migrations()
def m026_callbacks(db: Database) -> None:
    """Documents tell too, also those of no one client; what was answered is kept, and a delivery can be made again."""
    _statements(
        db,
        """
        ALTER TABLE callbacks RENAME TO callbacks_before;
        DROP INDEX callbacks_due;
        CREATE TABLE callbacks (
            id INTEGER PRIMARY KEY,
            public_id TEXT NOT NULL UNIQUE,
            -- NULL: of a token of every client's, or of the desk
            client_id INTEGER REFERENCES clients ON DELETE CASCADE,
            url TEXT NOT NULL,
            host TEXT NOT NULL DEFAULT '',
            event TEXT NOT NULL,
            body TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('wanted', 'delivered', 'failed')),
            attempts INTEGER NOT NULL DEFAULT 0,
            due_at REAL,
            status INTEGER,
            words TEXT,
            -- the beginning of what the newest attempt was answered
            answer TEXT NOT NULL DEFAULT '',
            created_at REAL NOT NULL,
            -- when it was first tried, or sent again by a person, and how many attempts there had been by then
            begun_at REAL NOT NULL,
            begun_after INTEGER NOT NULL DEFAULT 0,
            tried_at REAL
        );
        INSERT INTO callbacks (id, public_id, client_id, url, event, body, state, attempts, due_at, status, words, created_at, begun_at)
            SELECT id, public_id, client_id, url, event, body, state, attempts, due_at, status, words, created_at, created_at
            FROM callbacks_before;
        DROP TABLE callbacks_before;
        CREATE INDEX callbacks_due ON callbacks (due_at) WHERE state = 'wanted';
        CREATE INDEX callbacks_host ON callbacks (host, due_at) WHERE state = 'wanted';
        CREATE INDEX callbacks_state ON callbacks (state, id);

        -- Secrets that were changed. Client 0: deliveries of no one client.
        CREATE TABLE callback_secrets (
            client_id INTEGER PRIMARY KEY,
            version INTEGER NOT NULL,
            changed_at REAL NOT NULL
        );

        ALTER TABLE document_tasks ADD COLUMN callback_url TEXT;
        ALTER TABLE document_batches ADD COLUMN callback_url TEXT
        """,
    )


@migrations()
def m026b_knowledge_pages(db: Database) -> None:
    _statements(
        db,
        """
        -- Documents that come from an address of the web, and how looking there again went.
        CREATE TABLE knowledge_pages (
            document_id INTEGER PRIMARY KEY REFERENCES knowledge_documents ON DELETE CASCADE,
            host TEXT NOT NULL,
            -- when it is to be looked at; while that goes on: when the lease ends; NULL: not before the next night
            due_at REAL,
            attempts INTEGER NOT NULL DEFAULT 0,
            -- when the page was last there, and since when and why it no longer can be read
            checked_at REAL,
            problem TEXT,
            problem_since REAL
        );
        CREATE INDEX knowledge_pages_due ON knowledge_pages (due_at) WHERE due_at IS NOT NULL
        """,
    )


@migrations()
def m026c_digests(db: Database) -> None:
    _statements(
        db,
        """
        CREATE TABLE digest_settings (
            client_id INTEGER PRIMARY KEY REFERENCES clients ON DELETE CASCADE,
            is_on INTEGER NOT NULL,
            -- of the client's own day
            hour INTEGER NOT NULL,
            -- who gets it by WhatsApp, with which template; NULL: it stands on the desk alone
            phone TEXT,
            template TEXT,
            language TEXT,
            updated_at REAL NOT NULL
        );

        -- 'Once a day' rests on the key, whatever is killed or restarted.
        CREATE TABLE digests (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            -- the day it tells of, in the client's zone
            day TEXT NOT NULL,
            begins_at REAL NOT NULL,
            ends_at REAL NOT NULL,
            -- writing: the model is still at its lines
            state TEXT NOT NULL DEFAULT 'writing' CHECK (state IN ('writing', 'ready')),
            -- JSON: store/digest_counts.py; conversations that wait for a person; the model's lines
            numbers TEXT NOT NULL,
            waiting TEXT NOT NULL,
            lines TEXT NOT NULL DEFAULT '[]',
            remark TEXT NOT NULL DEFAULT '',
            -- the document task that the lines come from
            task_id INTEGER,
            -- the WhatsApp message, or why there is none
            message_id INTEGER,
            refused_words TEXT,
            created_at REAL NOT NULL,
            finished_at REAL,
            UNIQUE (client_id, day)
        );
        CREATE INDEX digests_writing ON digests (id) WHERE state = 'writing'
        """,
    )


@migrations()
def m027_widget(db: Database) -> None:
    """The web chat: how each looks and where it may stand, what visitors left of themselves, and who went on by WhatsApp."""
    _statements(
        db,
        """
        CREATE TABLE widgets (
            number_id INTEGER PRIMARY KEY REFERENCES numbers ON DELETE CASCADE,
            origins TEXT NOT NULL DEFAULT '',
            accent TEXT NOT NULL,
            scheme TEXT NOT NULL DEFAULT 'auto' CHECK (scheme IN ('auto', 'light', 'dark')),
            side TEXT NOT NULL DEFAULT 'end' CHECK (side IN ('start', 'end')),
            language TEXT NOT NULL DEFAULT 'en',
            words TEXT NOT NULL DEFAULT '{}',
            ask_details INTEGER NOT NULL DEFAULT 1,
            whatsapp_number_id INTEGER REFERENCES numbers ON DELETE SET NULL,
            changed_at REAL NOT NULL
        );

        -- what a visitor wrote into the form: nobody proved it, so it finds no other contact
        CREATE TABLE visitor_details (
            contact_id INTEGER PRIMARY KEY REFERENCES contacts ON DELETE CASCADE,
            name TEXT,
            email TEXT,
            phone TEXT,
            given_at REAL NOT NULL
        );

        -- a code that a visitor takes along to WhatsApp, and the conversation in which it came up there
        CREATE TABLE widget_references (
            code TEXT PRIMARY KEY,
            conversation_id INTEGER NOT NULL UNIQUE REFERENCES conversations ON DELETE CASCADE,
            created_at REAL NOT NULL,
            joined_conversation_id INTEGER REFERENCES conversations ON DELETE SET NULL,
            joined_at REAL
        );
        CREATE INDEX widget_references_joined ON widget_references (joined_conversation_id) WHERE joined_conversation_id IS NOT NULL
        """,
    )


@migrations()
def m028_webhook_addresses(db: Database) -> None:
    # webhook_key: part of the address a number's webhooks come to, where it has one of its own; a new key is a new address.
    # told_at: when a webhook last told of a message we sent.
    _statements(
        db,
        """
        ALTER TABLE numbers ADD COLUMN webhook_key TEXT;
        ALTER TABLE numbers ADD COLUMN told_at REAL
        """,
    )


@migrations()
def m029_received_files(db: Database) -> None:
    """What customers send besides text: fetched, read, and shown on the desk. The file itself is in `media`, as those for sending."""
    _statements(
        db,
        """
        CREATE TABLE received_files (
            message_id INTEGER PRIMARY KEY REFERENCES messages ON DELETE CASCADE,
            state TEXT NOT NULL CHECK (state IN ('wanted', 'fetched', 'done', 'failed')),
            text TEXT,
            error_code TEXT,
            error_words TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            due_at REAL,
            lease_owner TEXT,
            lease_expires_at REAL,
            created_at REAL NOT NULL
        );
        CREATE INDEX received_files_open ON received_files (message_id) WHERE state IN ('wanted', 'fetched');

        -- so long the answer waits for files that are still being fetched and read
        ALTER TABLE conversations ADD COLUMN files_until REAL;
        -- most conversations never hold a file, and then nobody looks for any
        ALTER TABLE conversations ADD COLUMN has_files INTEGER NOT NULL DEFAULT 0;

        ALTER TABLE clients ADD COLUMN image_text TEXT NOT NULL
            DEFAULT 'Thank you. I cannot look at pictures and videos here: please tell me in a few words what it is about.';
        ALTER TABLE clients ADD COLUMN voice_text TEXT NOT NULL
            DEFAULT 'Thank you. I cannot listen to voice messages here: please write to me what it is about.'
        """,
    )


@migrations()
def m030_privacy(db: Database) -> None:
    _statements(
        db,
        """
        -- how long, in days; NULL: the setting decides; 0: for ever
        ALTER TABLE clients ADD COLUMN messages_keep_days REAL;
        ALTER TABLE clients ADD COLUMN closed_keep_days REAL;
        ALTER TABLE clients ADD COLUMN media_keep_days REAL;
        ALTER TABLE clients ADD COLUMN documents_keep_days REAL;

        -- Who was erased, as an id that nobody else gets. `traces`: what is still to be done outside these tables, NULL when it is.
        CREATE TABLE erasures (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL,
            contact_id INTEGER NOT NULL,
            erased_at REAL NOT NULL,
            traces TEXT,
            finished_at REAL
        );
        CREATE INDEX erasures_contact ON erasures (contact_id);
        CREATE INDEX erasures_at ON erasures (erased_at);
        CREATE INDEX erasures_open ON erasures (id) WHERE finished_at IS NULL;
        -- Their phone numbers and user ids under a key (flows/erasure_journal.py), so that what is on its way does not bring them back.
        CREATE TABLE erased_names (
            name_hash TEXT NOT NULL,
            erasure_id INTEGER NOT NULL REFERENCES erasures ON DELETE CASCADE,
            PRIMARY KEY (name_hash, erasure_id)
        ) WITHOUT ROWID;

        -- What became of a broadcast's messages that are gone: its figures stay.
        CREATE TABLE broadcast_gone (
            broadcast_id INTEGER NOT NULL REFERENCES broadcasts ON DELETE CASCADE,
            state TEXT NOT NULL,
            count INTEGER NOT NULL,
            answered INTEGER NOT NULL,
            PRIMARY KEY (broadcast_id, state)
        ) WITHOUT ROWID;

        -- Who did what. No message's text, no secret.
        CREATE TABLE audit (
            id INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            actor TEXT NOT NULL CHECK (actor IN ('user', 'token', 'command line', 'system')),
            actor_id INTEGER,
            actor_name TEXT NOT NULL,
            address TEXT,
            deed TEXT NOT NULL,
            subject TEXT,
            details TEXT NOT NULL
        );
        CREATE INDEX audit_actor ON audit (actor, actor_id, id);
        CREATE INDEX audit_deed ON audit (deed, id);
        -- What is older may go; it only moves on.
        CREATE TABLE audit_kept (only_one INTEGER PRIMARY KEY CHECK (only_one = 1), since REAL NOT NULL);
        INSERT INTO audit_kept VALUES (1, 0)
        """,
    )
    db.conn.execute(
        """
        CREATE TRIGGER broadcast_gone_added AFTER DELETE ON messages WHEN OLD.broadcast_id IS NOT NULL BEGIN
            INSERT INTO broadcast_gone VALUES (OLD.broadcast_id, OLD.state, 1, OLD.replied_at IS NOT NULL)
            ON CONFLICT (broadcast_id, state) DO UPDATE SET count = count + 1, answered = answered + excluded.answered;
        END
        """
    )
    refuse = "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END"
    db.conn.execute(f"CREATE TRIGGER audit_stays BEFORE UPDATE ON audit {refuse}")
    db.conn.execute(f"CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit WHEN OLD.at >= (SELECT since FROM audit_kept) {refuse}")
    db.conn.execute(f"CREATE TRIGGER audit_kept_moves_on BEFORE UPDATE ON audit_kept WHEN NEW.since < OLD.since {refuse}")
    db.conn.execute(f"CREATE TRIGGER audit_kept_stays BEFORE DELETE ON audit_kept {refuse}")


@migrations()
def m031_reach(db: Database) -> None:
    db.conn.execute("CREATE TABLE reach (account_id TEXT PRIMARY KEY, people REAL NOT NULL, read_at REAL NOT NULL) WITHOUT ROWID")


@migrations()
def m031b_opt_outs(db: Database) -> None:
    """From one number; without a number from all, as everybody's was until now."""
    _statements(
        db,
        """
        CREATE TABLE opt_outs (
            contact_id INTEGER NOT NULL REFERENCES contacts ON DELETE CASCADE,
            number_id INTEGER REFERENCES numbers ON DELETE CASCADE,
            stopped_at REAL NOT NULL
        );
        CREATE UNIQUE INDEX opt_outs_once ON opt_outs (contact_id, COALESCE(number_id, 0));
        INSERT INTO opt_outs (contact_id, stopped_at) SELECT id, marketing_stopped_at FROM contacts WHERE marketing_stopped_at IS NOT NULL;
        ALTER TABLE contacts DROP COLUMN marketing_stopped_at
        """,
    )


@migrations()
def m031c_resumed(db: Database) -> None:
    db.conn.execute("ALTER TABLE broadcasts ADD COLUMN resumed_at REAL")


@migrations()
def m032_trace(db: Database) -> None:
    """The id that a customer's message keeps from its webhook to the answer's send, for the log."""
    db.conn.execute("ALTER TABLE messages ADD COLUMN trace TEXT")


@migrations()
def m033_tools(db: Database) -> None:
    """What the model may call: switches for each client, lookups that the owner declares, and what was called for an answer."""
    _statements(
        db,
        """
        CREATE TABLE client_tools (
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            name TEXT NOT NULL,
            PRIMARY KEY (client_id, name)
        ) WITHOUT ROWID;

        CREATE TABLE lookups (
            id INTEGER PRIMARY KEY,
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            name TEXT NOT NULL,
            description TEXT NOT NULL,
            url TEXT NOT NULL,
            -- JSON: a schema, and the headers by name
            parameters TEXT NOT NULL,
            headers TEXT NOT NULL DEFAULT '{}',
            -- the header whose value is encrypted (store/secrets.py)
            secret_header TEXT NOT NULL DEFAULT '',
            secret TEXT,
            timeout_seconds REAL NOT NULL,
            -- JSON: the only hosts that it may ask
            hosts TEXT NOT NULL,
            is_on INTEGER NOT NULL DEFAULT 0,
            changed_at REAL NOT NULL,
            UNIQUE (client_id, name)
        );

        CREATE TABLE tool_calls (
            message_id INTEGER NOT NULL REFERENCES messages ON DELETE CASCADE,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            arguments TEXT NOT NULL,
            result TEXT NOT NULL,
            outcome TEXT NOT NULL,
            seconds REAL NOT NULL,
            PRIMARY KEY (message_id, position)
        ) WITHOUT ROWID;

        -- JSON: store/tool_calls.py, Used
        ALTER TABLE drafts ADD COLUMN tools TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE tries ADD COLUMN tools TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE suggestions ADD COLUMN tools TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE replay_items ADD COLUMN tools TEXT NOT NULL DEFAULT '{}';

        -- what stands on the button that opens a list
        ALTER TABLE clients ADD COLUMN list_word TEXT NOT NULL DEFAULT 'Choose'
        """,
    )


@migrations()
def m034_alerts(db: Database) -> None:
    """What needs a person. `since`: first seen; `told_at` NULL: not for long enough yet; `quiet_since`: not seen any more; `over_at`: all clear."""
    _statements(
        db,
        """
        CREATE TABLE alerts (
            id INTEGER PRIMARY KEY,
            condition TEXT NOT NULL,
            words TEXT NOT NULL,
            href TEXT,
            since REAL NOT NULL,
            told_at REAL,
            quiet_since REAL,
            over_at REAL
        );
        CREATE UNIQUE INDEX alerts_once ON alerts (condition) WHERE over_at IS NULL;
        CREATE INDEX alerts_over ON alerts (condition, over_at)
        """,
    )


@migrations()
def m034b_canary(db: Database) -> None:
    """The synthetic message's own client and number, and how it went. `mark`: of the one under way, NULL while there is none."""
    _statements(
        db,
        """
        CREATE TABLE canary (
            only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
            client_id INTEGER NOT NULL REFERENCES clients,
            number_id INTEGER NOT NULL REFERENCES numbers,
            mark TEXT,
            begun_at REAL NOT NULL DEFAULT 0,
            ok_at REAL,
            seconds REAL,
            failures INTEGER NOT NULL DEFAULT 0,
            words TEXT
        )
        """,
    )


@migrations()
def m035_retrieval(db: Database) -> None:
    """An answer's search in the documents, which was counted as waiting; NULL where nothing was searched. Classes are m020's."""
    db.conn.execute("ALTER TABLE messages ADD COLUMN retrieval_seconds REAL")
    db.conn.execute("DROP TRIGGER counters_answered")
    count = "ON CONFLICT (name, label) DO UPDATE SET value = value + excluded.value;"
    seconds = "(SELECT 'waited' AS part, NEW.waited_seconds AS s UNION ALL SELECT 'model', COALESCE(NEW.model_seconds, 0)"
    seconds += " UNION ALL SELECT 'retrieval', NEW.retrieval_seconds WHERE NEW.retrieval_seconds IS NOT NULL"
    seconds += " UNION ALL SELECT 'send', NEW.sent_at - NEW.created_at UNION ALL SELECT 'answer', NEW.waited_seconds"
    seconds += " + COALESCE(NEW.retrieval_seconds, 0) + COALESCE(NEW.model_seconds, 0) + NEW.sent_at - NEW.created_at)"
    bounds = (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800)
    classes = " ".join(f"WHEN s <= {bound} THEN '{bound}'" for bound in bounds)
    db.conn.execute(
        f"""
        CREATE TRIGGER counters_answered AFTER UPDATE OF sent_at ON messages
        WHEN OLD.sent_at IS NULL AND NEW.sent_at IS NOT NULL AND NEW.waited_seconds IS NOT NULL BEGIN
            INSERT INTO counters SELECT part, CASE {classes} ELSE '+Inf' END, 1 FROM {seconds} WHERE TRUE {count}
            INSERT INTO counters SELECT part, 'sum', MAX(0, s) FROM {seconds} WHERE TRUE {count}
        END
        """
    )


@migrations()
def m037_cells(db: Database) -> None:
    """Vectors by likeness (store/cells.py). All begin in cell 0, which every search looks into."""
    _statements(
        db,
        """
        -- the cosine of texts that have nothing to do with each other
        ALTER TABLE knowledge_models ADD COLUMN unrelated REAL;
        CREATE TABLE knowledge_cells (
            client_id INTEGER NOT NULL REFERENCES clients ON DELETE CASCADE,
            model_id INTEGER NOT NULL,
            cell INTEGER NOT NULL,
            -- the lowest of those that were chosen together
            first INTEGER NOT NULL,
            bits BLOB NOT NULL,
            PRIMARY KEY (client_id, model_id, cell)
        ) WITHOUT ROWID;
        ALTER TABLE knowledge_vectors RENAME TO knowledge_vectors_before;
        CREATE TABLE knowledge_vectors (
            client_id INTEGER NOT NULL,
            model_id INTEGER NOT NULL,
            cell INTEGER NOT NULL DEFAULT 0,
            chunk_id INTEGER NOT NULL REFERENCES knowledge_chunks ON DELETE CASCADE,
            embedding_id INTEGER NOT NULL,
            bits BLOB NOT NULL,
            PRIMARY KEY (client_id, model_id, cell, chunk_id)
        ) WITHOUT ROWID;
        INSERT INTO knowledge_vectors (client_id, model_id, chunk_id, embedding_id, bits)
        SELECT client_id, model_id, chunk_id, embedding_id, bits FROM knowledge_vectors_before;
        DROP TABLE knowledge_vectors_before;
        CREATE UNIQUE INDEX knowledge_vectors_chunk ON knowledge_vectors (chunk_id, model_id)
        """,
    )


@migrations()
def m039_many(db: Database) -> None:
    """As quick with ten million messages as with ten thousand."""
    _statements(
        db,
        """
        -- The index of words, word by word: which ones begin with what somebody types. Keeps nothing of its own.
        CREATE VIRTUAL TABLE messages_words USING fts5vocab(messages_fts, instance);

        -- With what dead letters are counted and chosen by, and without broadcasts' failures, of which there may be many.
        DROP INDEX messages_dead;
        CREATE INDEX messages_dead ON messages (id, error_code, failed_at, number_id)
            WHERE state = 'failed' AND direction = 'out' AND dismissed_at IS NULL AND retried_as IS NULL AND purpose IS NOT 'broadcast';

        -- What became of a broadcast's messages that are still there; of the others: broadcast_gone. As messages, it names no foreign key.
        CREATE TABLE broadcast_counts (
            broadcast_id INTEGER NOT NULL,
            state TEXT NOT NULL,
            count INTEGER NOT NULL,
            PRIMARY KEY (broadcast_id, state)
        ) WITHOUT ROWID;
        INSERT INTO broadcast_counts SELECT broadcast_id, state, COUNT(*) FROM messages WHERE broadcast_id IS NOT NULL GROUP BY broadcast_id, state;
        CREATE INDEX messages_broadcast ON messages (broadcast_id) WHERE broadcast_id IS NOT NULL;
        CREATE INDEX messages_broadcast_failed ON messages (broadcast_id, error_code) WHERE broadcast_id IS NOT NULL AND state = 'failed';
        CREATE INDEX messages_broadcast_replied ON messages (broadcast_id) WHERE broadcast_id IS NOT NULL AND replied_at IS NOT NULL;

        -- Of a long conversation the reactions alone; of those that people took over, each person's.
        CREATE INDEX messages_reactions ON messages (conversation_id, id) WHERE kind = 'reaction';
        CREATE INDEX inbox_mine ON conversations (taken_by) WHERE state = 'human';

        CREATE INDEX opt_outs_at ON opt_outs (stopped_at);
        CREATE INDEX callbacks_event ON callbacks (event, state);
        CREATE INDEX callbacks_age ON callbacks (created_at)
        """,
    )
    one_more = "INSERT INTO broadcast_counts VALUES (NEW.broadcast_id, NEW.state, 1) ON CONFLICT DO UPDATE SET count = count + 1;"
    one_less = "UPDATE broadcast_counts SET count = count - 1 WHERE broadcast_id = OLD.broadcast_id AND state = OLD.state;"
    db.conn.execute(f"CREATE TRIGGER broadcast_counts_added AFTER INSERT ON messages WHEN NEW.broadcast_id IS NOT NULL BEGIN {one_more} END")
    db.conn.execute(
        f"""
        CREATE TRIGGER broadcast_counts_moved AFTER UPDATE OF broadcast_id, state ON messages
        WHEN NEW.broadcast_id IS NOT NULL AND (NEW.state <> OLD.state OR NEW.broadcast_id IS NOT OLD.broadcast_id) BEGIN {one_less} {one_more} END
        """
    )
    db.conn.execute(f"CREATE TRIGGER broadcast_counts_gone AFTER DELETE ON messages WHEN OLD.broadcast_id IS NOT NULL BEGIN {one_less} END")


def _statements(db: Database, script: str) -> None:
    """Run each statement by itself: sqlite3's executescript() would commit the migration's transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";"):
            db.conn.execute(statement)
            statement = ""
    if statement.strip():
        db.conn.execute(statement)
