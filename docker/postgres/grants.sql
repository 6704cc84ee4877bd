-- Who may do what with which table. `migrate` runs this as the owner after every migration, in one
-- transaction. A table that is not named here is closed to all but its owner: name it when you add one.
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM breakwater_worker, breakwater_web;

-- The worker stores registrations. It never deletes one, and never changes a phone number.
GRANT SELECT, INSERT, UPDATE (first_seen, last_seen) ON landing_registration TO breakwater_worker;
GRANT SELECT, INSERT, UPDATE (accepted_at, details) ON landing_submission TO breakwater_worker;
-- A campaign that no migrate has seen gets its row when its first registration is stored. It counts those with places.
GRANT SELECT, INSERT, UPDATE (last_number) ON campaigns_campaign TO breakwater_worker;
-- It puts questions for codes into the line, judges codes that were typed, and confirms. It never sends one.
GRANT SELECT, INSERT, UPDATE (here_at) ON confirmations_ask TO breakwater_worker;
GRANT SELECT, UPDATE (tries, closed_at, closed_as) ON confirmations_challenge TO breakwater_worker;
GRANT SELECT, INSERT ON confirmations_try TO breakwater_worker;
GRANT UPDATE (status, confirmed_at, confirmed_by) ON landing_registration TO breakwater_worker;
-- The request log, where LOGS_STORE is PostgresStore.
GRANT SELECT, INSERT ON logs_requestlog TO breakwater_worker;
GRANT SELECT ON logs_requestlog TO breakwater_web;
-- It stores nothing of people who were erased, and notes what it has left out.
GRANT SELECT ON landing_erasure TO breakwater_worker;
GRANT SELECT, INSERT ON landing_erased TO breakwater_worker;
GRANT SELECT ON landing_erased TO breakwater_web;
-- It writes what webhooks are told of, in the same transaction.
GRANT SELECT ON landing_subscription TO breakwater_worker;
GRANT INSERT ON landing_event TO breakwater_worker;
-- It parks what MongoDB cannot take, locks it (UPDATE), and moves it on.
GRANT SELECT, INSERT, UPDATE, DELETE ON landing_parked_log TO breakwater_worker;

-- It writes the exports that were asked for in the admin, and deletes their files after a day.
GRANT SELECT, INSERT, UPDATE, DELETE ON dashboard_export, dashboard_exportchunk TO breakwater_worker;

-- The web tells the state of a submission, and its admin shows the tables. It writes none of them.
GRANT SELECT ON landing_registration, landing_submission, landing_parked_log TO breakwater_web;
GRANT SELECT ON campaigns_campaign, campaigns_consent_text TO breakwater_web;
-- Its admin sets a campaign's capacity and cancels places.
GRANT UPDATE (capacity, admitted, cancelled) ON campaigns_campaign TO breakwater_web;
-- A place that is given is told to webhooks. What became of that is in the admin and in /metrics.
GRANT SELECT ON landing_subscription TO breakwater_web;
GRANT SELECT, INSERT ON landing_event TO breakwater_web;
GRANT SELECT ON courier_receiver, courier_delivery, courier_attempt TO breakwater_web;
-- It tells how far a confirmation is, without what a code is made of.
GRANT SELECT ON confirmations_ask, confirmations_try, confirmations_budget, confirmations_lease TO breakwater_web;
-- Its admin switches codes off and on.
GRANT SELECT, INSERT, UPDATE ON confirmations_switch TO breakwater_web;
GRANT SELECT (id, registration_id, opened_at, sent_at, first_sent_at, expires_at, tries, closed_at, closed_as)
  ON confirmations_challenge TO breakwater_web;
-- It asks for exports and sends their files.
GRANT SELECT, INSERT ON dashboard_export TO breakwater_web;
GRANT SELECT ON dashboard_exportchunk TO breakwater_web;
-- Its admin asks for the erasure of a person. It deletes nobody: `manage.py erase --asked` does, as the toolbox.
GRANT SELECT, INSERT ON dashboard_erasurerequest TO breakwater_web;
-- Logging in to the admin: sessions, users and their groups, and the admin's own log.
GRANT SELECT ON django_migrations, django_content_type, auth_permission TO breakwater_web;
GRANT SELECT, INSERT, UPDATE, DELETE ON
  django_session, auth_user, auth_group, auth_user_groups, auth_user_user_permissions, auth_group_permissions
  TO breakwater_web;
GRANT SELECT, INSERT ON django_admin_log TO breakwater_web;
-- The second factor of staff: it keeps keys and backup codes, and marks a code as used.
GRANT SELECT, INSERT, UPDATE, DELETE ON otp_totp_totpdevice, otp_static_staticdevice, otp_static_statictoken
  TO breakwater_web;

-- An operator's commands read what reconcile, trace and export tell of, and rehearse removes what it has sent.
-- An older installation lacks the role until roles.sh has run again: visitors must not wait for that.
DO $$
BEGIN
  IF to_regrole('breakwater_toolbox') IS NOT NULL THEN
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM breakwater_toolbox;
    GRANT SELECT, DELETE ON landing_registration, landing_submission, landing_parked_log TO breakwater_toolbox;
    GRANT SELECT, INSERT, DELETE ON logs_requestlog TO breakwater_toolbox;
    GRANT SELECT ON django_migrations, campaigns_campaign, campaigns_consent_text TO breakwater_toolbox;
    -- `campaign` sets a capacity, cancels places, and draws.
    GRANT UPDATE (is_numbered, last_number, capacity, admitted, cancelled, purged) ON campaigns_campaign TO breakwater_toolbox;
    GRANT UPDATE (number) ON landing_registration TO breakwater_toolbox;
    -- `erase` deletes all that is kept of a person, and the files of exports; `tell` reads it.
    GRANT SELECT, INSERT, DELETE ON landing_erasure, landing_erased TO breakwater_toolbox;
    GRANT SELECT, UPDATE (state) ON dashboard_export TO breakwater_toolbox;
    GRANT SELECT (id, export_id), DELETE ON dashboard_exportchunk TO breakwater_toolbox;
    GRANT SELECT, UPDATE (phone_number, erased_at) ON dashboard_erasurerequest TO breakwater_toolbox;
    -- `purge` too, once they are old.
    GRANT DELETE ON confirmations_ask, confirmations_try TO breakwater_toolbox;
    GRANT SELECT (id, registration_id, expires_at), DELETE ON confirmations_challenge TO breakwater_toolbox;
    -- `courier` tells what waits for webhooks, and sends again.
    GRANT SELECT ON landing_subscription, courier_receiver, courier_attempt TO breakwater_toolbox;
    GRANT SELECT, INSERT, DELETE ON landing_event TO breakwater_toolbox;
    GRANT SELECT, INSERT, UPDATE ON courier_delivery TO breakwater_toolbox;
    -- `codes` tells of the line and of the budget, and switches codes off and on.
    GRANT SELECT ON confirmations_ask, confirmations_try, confirmations_budget, confirmations_lease TO breakwater_toolbox;
    GRANT SELECT, INSERT, UPDATE ON confirmations_switch TO breakwater_toolbox;
    -- remove_second_factor takes one away, and adds that to the audit log. It reads no password, key or code.
    GRANT SELECT (id, username) ON auth_user TO breakwater_toolbox;
    GRANT SELECT (id, user_id), DELETE ON otp_totp_totpdevice TO breakwater_toolbox;
    GRANT SELECT, DELETE ON otp_static_staticdevice TO breakwater_toolbox;
    GRANT SELECT (id, device_id), DELETE ON otp_static_statictoken TO breakwater_toolbox;
    GRANT SELECT (id), INSERT ON django_admin_log TO breakwater_toolbox;
  END IF;
  -- The courier sends codes and webhooks: it reads who is registered, and writes what became of each message.
  IF to_regrole('breakwater_courier') IS NOT NULL THEN
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM breakwater_courier;
    GRANT SELECT ON landing_registration, landing_submission, campaigns_campaign, confirmations_try TO breakwater_courier;
    GRANT SELECT, UPDATE ON confirmations_ask TO breakwater_courier;
    GRANT SELECT, INSERT, UPDATE ON confirmations_challenge, confirmations_budget, confirmations_lease,
      confirmations_switch TO breakwater_courier;
    GRANT SELECT, UPDATE, DELETE ON landing_event TO breakwater_courier;
    GRANT SELECT, INSERT, UPDATE, DELETE ON landing_subscription, courier_receiver, courier_delivery, courier_attempt
      TO breakwater_courier;
  END IF;
END
$$;
