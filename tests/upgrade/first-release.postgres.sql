-- A database of the first release (0.1.0, commit f183eed): its four migrations and sample rows. Written once by pg_dump.
-- PostgreSQL database dump


-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

-- Name: refuse(); Type: FUNCTION; Schema: public; Owner: -

CREATE FUNCTION public.refuse() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0];
END;
$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

-- Name: _sqlx_migrations; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public._sqlx_migrations (
    version bigint NOT NULL,
    description text NOT NULL,
    installed_on timestamp with time zone DEFAULT now() NOT NULL,
    success boolean NOT NULL,
    checksum bytea NOT NULL,
    execution_time bigint NOT NULL
);


-- Name: audit; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.audit (
    id text NOT NULL COLLATE pg_catalog."C",
    team_id text NOT NULL COLLATE pg_catalog."C",
    at bigint NOT NULL,
    by_person text COLLATE pg_catalog."C",
    by_name text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    detail text NOT NULL,
    origin text NOT NULL
);


-- Name: changes; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.changes (
    id bigint NOT NULL,
    seq bigint NOT NULL,
    epoch text NOT NULL,
    CONSTRAINT changes_id_check CHECK ((id = 1))
);


-- Name: duties; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.duties (
    name text NOT NULL COLLATE pg_catalog."C",
    begun_at bigint NOT NULL
);


-- Name: idempotency; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.idempotency (
    key_id text NOT NULL COLLATE pg_catalog."C",
    method text NOT NULL COLLATE pg_catalog."C",
    path text NOT NULL COLLATE pg_catalog."C",
    value text NOT NULL COLLATE pg_catalog."C",
    body_hash bytea NOT NULL,
    status bigint NOT NULL,
    body bytea NOT NULL,
    location text,
    created_at bigint NOT NULL,
    CONSTRAINT idempotency_body_hash_check CHECK ((length(body_hash) = 32))
);


-- Name: key_usage; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.key_usage (
    key_id text NOT NULL COLLATE pg_catalog."C",
    last_used_at bigint NOT NULL,
    last_used_from text NOT NULL
);


-- Name: keys; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.keys (
    id text NOT NULL COLLATE pg_catalog."C",
    team_id text NOT NULL COLLATE pg_catalog."C",
    token_hash bytea NOT NULL,
    prefix text NOT NULL,
    name text,
    mode text NOT NULL,
    scope text NOT NULL,
    slot bigint NOT NULL,
    created_at bigint NOT NULL,
    created_by text COLLATE pg_catalog."C",
    created_by_name text NOT NULL,
    revoked_at bigint,
    revoked_by text COLLATE pg_catalog."C",
    revoked_by_name text,
    seq bigint NOT NULL,
    CONSTRAINT keys_check CHECK (((revoked_at IS NULL) = (revoked_by_name IS NULL))),
    CONSTRAINT keys_mode_check CHECK ((mode = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT keys_scope_check CHECK ((scope = ANY (ARRAY['read_write'::text, 'read_only'::text]))),
    CONSTRAINT keys_slot_check CHECK (((slot >= 1) AND (slot <= 10))),
    CONSTRAINT keys_token_hash_check CHECK ((length(token_hash) = 32))
);


-- Name: links; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.links (
    id text NOT NULL COLLATE pg_catalog."C",
    code_hash bytea NOT NULL,
    purpose text NOT NULL,
    person_id text COLLATE pg_catalog."C",
    team_id text COLLATE pg_catalog."C",
    email text,
    email_canonical text COLLATE pg_catalog."C",
    role text,
    made_by text COLLATE pg_catalog."C",
    made_by_name text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    CONSTRAINT links_check CHECK (((purpose = 'invite'::text) = ((team_id IS NOT NULL) AND (email IS NOT NULL) AND (role IS NOT NULL)))),
    CONSTRAINT links_check1 CHECK (((purpose = ANY (ARRAY['reset'::text, 'sign_in'::text])) = (person_id IS NOT NULL))),
    CONSTRAINT links_code_hash_check CHECK ((length(code_hash) = 32)),
    CONSTRAINT links_purpose_check CHECK ((purpose = ANY (ARRAY['set_up'::text, 'invite'::text, 'reset'::text, 'sign_in'::text]))),
    CONSTRAINT links_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'manager'::text, 'member'::text])))
);


-- Name: members; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.members (
    team_id text NOT NULL COLLATE pg_catalog."C",
    person_id text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL,
    joined_at bigint NOT NULL,
    CONSTRAINT members_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'manager'::text, 'member'::text])))
);


-- Name: people; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.people (
    id text NOT NULL COLLATE pg_catalog."C",
    email text NOT NULL,
    email_canonical text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    created_at bigint NOT NULL,
    password text
);


-- Name: products; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.products (
    id text NOT NULL COLLATE pg_catalog."C",
    team_id text NOT NULL COLLATE pg_catalog."C",
    mode text NOT NULL COLLATE pg_catalog."C",
    status text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    unit_price bigint NOT NULL,
    currency text NOT NULL,
    description text,
    sku text COLLATE pg_catalog."C",
    tax_rate bigint,
    kind text NOT NULL,
    unit_of_measure text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    CONSTRAINT products_mode_check CHECK ((mode = ANY (ARRAY['live'::text, 'test'::text]))),
    CONSTRAINT products_status_check CHECK ((status = ANY (ARRAY['active'::text, 'archived'::text])))
);


-- Name: sessions; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.sessions (
    id text NOT NULL COLLATE pg_catalog."C",
    secret_hash bytea NOT NULL,
    person_id text NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    seen_at bigint NOT NULL,
    proved_at bigint NOT NULL,
    ended_at bigint,
    origin text NOT NULL,
    browser text NOT NULL,
    CONSTRAINT sessions_secret_hash_check CHECK ((length(secret_hash) = 32))
);


-- Name: settings; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.settings (
    name text NOT NULL,
    value text NOT NULL
);


-- Name: teams; Type: TABLE; Schema: public; Owner: -

CREATE TABLE public.teams (
    id text NOT NULL COLLATE pg_catalog."C",
    slug text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    created_at bigint NOT NULL,
    touched_at bigint NOT NULL,
    deleted_at bigint
);


-- Data for Name: _sqlx_migrations; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public._sqlx_migrations VALUES (1, '0001_keys_and_products', '2026-11-24 14:11:34+00', true, '\x025db91d101257026acd11636dd0caa3a693550f0ad87c8f16ed824c04d991f48f295aa3b755005db73c9ed95f34e648', 0);
INSERT INTO public._sqlx_migrations VALUES (2, '0002_idempotency', '2026-11-24 14:11:34+00', true, '\x3fbf25daf2d0d5ae0acfb9fd63e41e9e33081197169c0d7ff84a3c986e3e4349d5dc52effac18b65901ee25a8f72c370', 0);
INSERT INTO public._sqlx_migrations VALUES (3, '0003_people_sign_in', '2026-11-24 14:11:34+00', true, '\x5969ea821506920435e97f26b4fd9f76bd7cbf90cde365be5b52bf4d3735225bf06279997f59e95274d203afabbb8b21', 0);
INSERT INTO public._sqlx_migrations VALUES (4, '0004_duties', '2026-11-24 14:11:34+00', true, '\x0783023b52c08e417fbe65b3d468b5380ed0bd70d85b60c5520e4ea47449fe14493011a24e8880a7fd01679c989a3bdc', 0);


-- Data for Name: audit; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.audit VALUES ('aud_01kaqty0g0000000000000000a', 'team_01kaqty0g0000000000000000a', 1795512600000, NULL, 'Command line (root)', 'team.created', 'team_01kaqty0g0000000000000000a', '"Acme"', 'shell');
INSERT INTO public.audit VALUES ('aud_01kaqty0g0000000000000000b', 'team_01kaqty0g0000000000000000a', 1795512650000, 'per_01kaqty0g0000000000000000b', 'Bob', 'key.revoked', 'key_01kaqty0g0000000000000000b', 'pk_test_012 "Old"', '198.51.100.9');


-- Data for Name: changes; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.changes VALUES (1, 3, '00000000000000000000000000000001');


-- Data for Name: duties; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.duties VALUES ('clear what has had its time', 1795512600000);


-- Data for Name: idempotency; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.idempotency VALUES ('key_01kaqty0g0000000000000000a', 'POST', '/api/v1/products', 'one', '\x1f77c6ce934ed6691c73f00fd8e0f777d938d15aa9b8797e0403586488d35716', 201, '\xc4e6536bfd50924f892c7db3bde40a4aa52309de30e5d828f0116c1ff33d788c', '/api/v1/products/x', 1795512600000);


-- Data for Name: key_usage; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.key_usage VALUES ('key_01kaqty0g0000000000000000a', 1795512660000, '198.51.100.7');


-- Data for Name: keys; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.keys VALUES ('key_01kaqty0g0000000000000000a', 'team_01kaqty0g0000000000000000a', '\x1f77c6ce934ed6691c73f00fd8e0f777d938d15aa9b8797e0403586488d35716', 'pk_live_012', 'Backend', 'live', 'read_write', 1, 1795512600000, 'per_01kaqty0g0000000000000000a', 'Ada', NULL, NULL, NULL, 1);
INSERT INTO public.keys VALUES ('key_01kaqty0g0000000000000000b', 'team_01kaqty0g0000000000000000a', '\xc4e6536bfd50924f892c7db3bde40a4aa52309de30e5d828f0116c1ff33d788c', 'pk_test_012', 'Old', 'test', 'read_only', 2, 1795512600000, NULL, 'Command line (root)', 1795512650000, 'per_01kaqty0g0000000000000000b', 'Bob', 3);


-- Data for Name: links; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.links VALUES ('lnk_01kaqty0g0000000000000000a', '\x1f77c6ce934ed6691c73f00fd8e0f777d938d15aa9b8797e0403586488d35716', 'invite', NULL, 'team_01kaqty0g0000000000000000a', 'eve@example.com', 'eve@example.com', 'manager', 'per_01kaqty0g0000000000000000a', 'Ada', 1795512600000, 1796117400000);
INSERT INTO public.links VALUES ('lnk_01kaqty0g0000000000000000b', '\xc4e6536bfd50924f892c7db3bde40a4aa52309de30e5d828f0116c1ff33d788c', 'reset', 'per_01kaqty0g0000000000000000b', NULL, NULL, NULL, NULL, NULL, 'Command line (root)', 1795512600000, 1796117400000);


-- Data for Name: members; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.members VALUES ('team_01kaqty0g0000000000000000a', 'per_01kaqty0g0000000000000000a', 'owner', 1795512600000);
INSERT INTO public.members VALUES ('team_01kaqty0g0000000000000000a', 'per_01kaqty0g0000000000000000b', 'admin', 1795512600000);


-- Data for Name: people; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.people VALUES ('per_01kaqty0g0000000000000000a', 'Ada@example.com', 'ada@example.com', 'Ada', 1795512600000, '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8');
INSERT INTO public.people VALUES ('per_01kaqty0g0000000000000000b', 'bob@example.com', 'bob@example.com', 'Bob', 1795512600000, NULL);


-- Data for Name: products; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.products VALUES ('019aafaf-0200-7000-8000-000000000001', 'team_01kaqty0g0000000000000000a', 'live', 'active', 'Consulting 日本 €', 1250000, 'EUR', 'One hour', 'C-1', 190000, 'SERVICES', 'hour', 1795512600000, 1795512600000);


-- Data for Name: sessions; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.sessions VALUES ('ses_01kaqty0g0000000000000000a', '\x1f77c6ce934ed6691c73f00fd8e0f777d938d15aa9b8797e0403586488d35716', 'per_01kaqty0g0000000000000000a', 1795512600000, 1795512600000, 1795512600000, NULL, '198.51.100.7', 'Firefox on Linux');


-- Data for Name: settings; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.settings VALUES ('token.brand', 'pk');


-- Data for Name: teams; Type: TABLE DATA; Schema: public; Owner: -

INSERT INTO public.teams VALUES ('team_01kaqty0g0000000000000000a', 'acme', 'Acme', 1795512600000, 1795512600000, NULL);
INSERT INTO public.teams VALUES ('team_01kaqty0g0000000000000000b', 'team_01kaqty0g0000000000000000b', 'Gone', 1795512600000, 1795512600000, 1795512700000);


-- Name: _sqlx_migrations _sqlx_migrations_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public._sqlx_migrations
    ADD CONSTRAINT _sqlx_migrations_pkey PRIMARY KEY (version);


-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);


-- Name: changes changes_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (id);


-- Name: duties duties_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.duties
    ADD CONSTRAINT duties_pkey PRIMARY KEY (name);


-- Name: idempotency idempotency_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (key_id, method, path, value);


-- Name: key_usage key_usage_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.key_usage
    ADD CONSTRAINT key_usage_pkey PRIMARY KEY (key_id);


-- Name: keys keys_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_pkey PRIMARY KEY (id);


-- Name: keys keys_token_hash_key; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_token_hash_key UNIQUE (token_hash);


-- Name: links links_code_hash_key; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_code_hash_key UNIQUE (code_hash);


-- Name: links links_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_pkey PRIMARY KEY (id);


-- Name: members members_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (team_id, person_id);


-- Name: people people_email_canonical_key; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_email_canonical_key UNIQUE (email_canonical);


-- Name: people people_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_pkey PRIMARY KEY (id);


-- Name: products products_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.products
    ADD CONSTRAINT products_pkey PRIMARY KEY (id);


-- Name: sessions sessions_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);


-- Name: sessions sessions_secret_hash_key; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_secret_hash_key UNIQUE (secret_hash);


-- Name: settings settings_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (name);


-- Name: teams teams_pkey; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_pkey PRIMARY KEY (id);


-- Name: teams teams_slug_key; Type: CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_slug_key UNIQUE (slug);


-- Name: audit_of_action; Type: INDEX; Schema: public; Owner: -

CREATE INDEX audit_of_action ON public.audit USING btree (team_id, action, id);


-- Name: audit_of_person; Type: INDEX; Schema: public; Owner: -

CREATE INDEX audit_of_person ON public.audit USING btree (team_id, by_person, id);


-- Name: audit_of_target; Type: INDEX; Schema: public; Owner: -

CREATE INDEX audit_of_target ON public.audit USING btree (team_id, target, id);


-- Name: audit_of_team; Type: INDEX; Schema: public; Owner: -

CREATE INDEX audit_of_team ON public.audit USING btree (team_id, id);


-- Name: idempotency_by_age; Type: INDEX; Schema: public; Owner: -

CREATE INDEX idempotency_by_age ON public.idempotency USING btree (created_at);


-- Name: keys_by_seq; Type: INDEX; Schema: public; Owner: -

CREATE INDEX keys_by_seq ON public.keys USING btree (seq);


-- Name: keys_of_team; Type: INDEX; Schema: public; Owner: -

CREATE INDEX keys_of_team ON public.keys USING btree (team_id, id);


-- Name: keys_to_forget; Type: INDEX; Schema: public; Owner: -

CREATE INDEX keys_to_forget ON public.keys USING btree (revoked_at) WHERE ((revoked_at IS NOT NULL) AND (name IS NOT NULL));


-- Name: links_by_end; Type: INDEX; Schema: public; Owner: -

CREATE INDEX links_by_end ON public.links USING btree (expires_at);


-- Name: links_of_person; Type: INDEX; Schema: public; Owner: -

CREATE INDEX links_of_person ON public.links USING btree (person_id);


-- Name: members_by_role; Type: INDEX; Schema: public; Owner: -

CREATE INDEX members_by_role ON public.members USING btree (team_id, role);


-- Name: members_of_person; Type: INDEX; Schema: public; Owner: -

CREATE INDEX members_of_person ON public.members USING btree (person_id);


-- Name: one_invitation_per_address; Type: INDEX; Schema: public; Owner: -

CREATE UNIQUE INDEX one_invitation_per_address ON public.links USING btree (team_id, email_canonical) WHERE (purpose = 'invite'::text);


-- Name: one_owner_per_team; Type: INDEX; Schema: public; Owner: -

CREATE UNIQUE INDEX one_owner_per_team ON public.members USING btree (team_id) WHERE (role = 'owner'::text);


-- Name: one_set_up_link; Type: INDEX; Schema: public; Owner: -

CREATE UNIQUE INDEX one_set_up_link ON public.links USING btree (purpose) WHERE (purpose = 'set_up'::text);


-- Name: one_sku_per_team_and_mode; Type: INDEX; Schema: public; Owner: -

CREATE UNIQUE INDEX one_sku_per_team_and_mode ON public.products USING btree (team_id, mode, sku);


-- Name: products_newest; Type: INDEX; Schema: public; Owner: -

CREATE INDEX products_newest ON public.products USING btree (team_id, mode, id);


-- Name: products_newest_by_status; Type: INDEX; Schema: public; Owner: -

CREATE INDEX products_newest_by_status ON public.products USING btree (team_id, mode, status, id);


-- Name: sessions_by_use; Type: INDEX; Schema: public; Owner: -

CREATE INDEX sessions_by_use ON public.sessions USING btree (seen_at);


-- Name: sessions_of_person; Type: INDEX; Schema: public; Owner: -

CREATE INDEX sessions_of_person ON public.sessions USING btree (person_id, seen_at);


-- Name: ten_active_keys_per_team; Type: INDEX; Schema: public; Owner: -

CREATE UNIQUE INDEX ten_active_keys_per_team ON public.keys USING btree (team_id, slot) WHERE (revoked_at IS NULL);


-- Name: audit audit_is_final; Type: TRIGGER; Schema: public; Owner: -

CREATE TRIGGER audit_is_final BEFORE UPDATE ON public.audit FOR EACH ROW EXECUTE FUNCTION public.refuse('an audit event is never changed');


-- Name: audit audit_is_kept; Type: TRIGGER; Schema: public; Owner: -

CREATE TRIGGER audit_is_kept BEFORE DELETE ON public.audit FOR EACH ROW EXECUTE FUNCTION public.refuse('an audit event is never deleted');


-- Name: audit audit_is_never_truncated; Type: TRIGGER; Schema: public; Owner: -

CREATE TRIGGER audit_is_never_truncated BEFORE TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION public.refuse('an audit event is never deleted');


-- Name: keys keys_are_never_deleted; Type: TRIGGER; Schema: public; Owner: -

CREATE TRIGGER keys_are_never_deleted BEFORE DELETE ON public.keys FOR EACH ROW EXECUTE FUNCTION public.refuse('a key is never deleted');


-- Name: keys keys_are_never_truncated; Type: TRIGGER; Schema: public; Owner: -

CREATE TRIGGER keys_are_never_truncated BEFORE TRUNCATE ON public.keys FOR EACH STATEMENT EXECUTE FUNCTION public.refuse('a key is never deleted');


-- Name: keys keys_stay_revoked; Type: TRIGGER; Schema: public; Owner: -

CREATE TRIGGER keys_stay_revoked BEFORE UPDATE ON public.keys FOR EACH ROW WHEN (((old.revoked_at IS NOT NULL) AND ((new.revoked_at IS DISTINCT FROM old.revoked_at) OR (new.revoked_by IS DISTINCT FROM old.revoked_by) OR (new.revoked_by_name IS DISTINCT FROM old.revoked_by_name)))) EXECUTE FUNCTION public.refuse('a revoked key stays revoked');


-- Name: keys keys_stay_themselves; Type: TRIGGER; Schema: public; Owner: -

CREATE TRIGGER keys_stay_themselves BEFORE UPDATE ON public.keys FOR EACH ROW WHEN (((new.id IS DISTINCT FROM old.id) OR (new.token_hash IS DISTINCT FROM old.token_hash) OR (new.team_id IS DISTINCT FROM old.team_id) OR (new.mode IS DISTINCT FROM old.mode) OR (new.prefix IS DISTINCT FROM old.prefix) OR (new.scope IS DISTINCT FROM old.scope) OR (new.created_at IS DISTINCT FROM old.created_at) OR (new.created_by IS DISTINCT FROM old.created_by) OR (new.created_by_name IS DISTINCT FROM old.created_by_name))) EXECUTE FUNCTION public.refuse('a key keeps what it was made with');


-- Name: audit audit_by_person_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_by_person_fkey FOREIGN KEY (by_person) REFERENCES public.people(id);


-- Name: audit audit_team_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id);


-- Name: idempotency idempotency_key_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_key_id_fkey FOREIGN KEY (key_id) REFERENCES public.keys(id);


-- Name: key_usage key_usage_key_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.key_usage
    ADD CONSTRAINT key_usage_key_id_fkey FOREIGN KEY (key_id) REFERENCES public.keys(id);


-- Name: keys keys_created_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.people(id);


-- Name: keys keys_revoked_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_revoked_by_fkey FOREIGN KEY (revoked_by) REFERENCES public.people(id);


-- Name: keys keys_team_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.keys
    ADD CONSTRAINT keys_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id);


-- Name: links links_made_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_made_by_fkey FOREIGN KEY (made_by) REFERENCES public.people(id);


-- Name: links links_person_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.people(id);


-- Name: links links_team_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.links
    ADD CONSTRAINT links_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id);


-- Name: members members_person_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.people(id);


-- Name: members members_team_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id);


-- Name: products products_team_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.products
    ADD CONSTRAINT products_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id);


-- Name: sessions sessions_person_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_person_id_fkey FOREIGN KEY (person_id) REFERENCES public.people(id);


-- PostgreSQL database dump complete


