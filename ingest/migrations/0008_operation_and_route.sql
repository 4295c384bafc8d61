-- What was called at an endpoint of many operations, and what the signals took an endpoint for.
--
-- operation. GraphQL's operationName, a JSON-RPC method, an MCP tool: a few hundred words, so LowCardinality.
-- route. Method, template and operation (`GET /users/{int}`); empty where the endpoint is its own name. There are far fewer
-- of them than of paths: that is what they are for.
ALTER TABLE calls
    ADD COLUMN IF NOT EXISTS operation LowCardinality(Nullable(String)) AFTER method;

ALTER TABLE verdicts
    ADD COLUMN IF NOT EXISTS route LowCardinality(String) AFTER endpoint;

-- Views keep the columns that `*` meant when they were made. They are replaced in one step, so no reader finds them missing.
CREATE OR REPLACE VIEW calls_once AS SELECT * FROM calls FINAL;

CREATE OR REPLACE VIEW verdicts_once AS
SELECT *, level_microbits / 1e6 AS level, added_microbits / 1e6 AS added FROM verdicts FINAL;
