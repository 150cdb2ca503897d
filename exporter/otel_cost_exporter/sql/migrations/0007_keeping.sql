-- What is kept and for how long, and what calls had cost before they were priced anew.

CREATE TABLE kept (
    what      VARCHAR PRIMARY KEY,
    since_ts  TIMESTAMP NOT NULL
);

CREATE TABLE spent_before (
    dimension     VARCHAR NOT NULL,
    id            VARCHAR NOT NULL,
    outcome       VARCHAR NOT NULL,
    cost_status   VARCHAR NOT NULL,
    row_count     BIGINT NOT NULL,
    cost          DECIMAL(38, 12) NOT NULL,
    input_tokens  BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    waste         DECIMAL(38, 12) NOT NULL,
    last_ts       TIMESTAMP NOT NULL,
    PRIMARY KEY (dimension, id, outcome, cost_status)
);

CREATE TABLE former_costs (
    repriced_ts     TIMESTAMP NOT NULL,
    start_ts        TIMESTAMP NOT NULL,
    trace_id        UUID NOT NULL,
    span_id         UBIGINT NOT NULL,
    cost            DECIMAL(18, 12),
    cost_status     VARCHAR NOT NULL,
    cost_source     VARCHAR,
    price_version   VARCHAR,
    cost_reason     VARCHAR,
    lines           STRUCT(meter VARCHAR, quantity DECIMAL(18, 6), cost DECIMAL(18, 12))[]
);

CREATE VIEW focus AS
WITH charged AS (
    SELECT
        *,
        coalesce(provider, 'unknown') AS seller,
        coalesce(charge, response_model, request_model, 'unknown') AS sku,
        unnest(coalesce(lines, [{
            'meter': CASE WHEN charge IS NULL THEN 'requests' ELSE 'units' END,
            'quantity': coalesce(units, 1)::DECIMAL(18, 6),
            'cost': cost
        }])) AS line
    FROM calls
    WHERE cost IS NOT NULL AND outcome <> 'refused'
)
SELECT
    line.cost AS BilledCost,
    seller AS BillingAccountId,
    NULL::VARCHAR AS BillingAccountName,
    'USD' AS BillingCurrency,
    (date_trunc('month', start_ts) + INTERVAL 1 MONTH)::TIMESTAMP AS BillingPeriodEnd,
    date_trunc('month', start_ts)::TIMESTAMP AS BillingPeriodStart,
    'Usage' AS ChargeCategory,
    NULL::VARCHAR AS ChargeClass,
    concat(sku, ': ', replace(line.meter, '_', ' ')) AS ChargeDescription,
    'Usage-Based' AS ChargeFrequency,
    date_trunc('hour', start_ts) + INTERVAL 1 HOUR AS ChargePeriodEnd,
    date_trunc('hour', start_ts) AS ChargePeriodStart,
    line.quantity AS ConsumedQuantity,
    CASE
        WHEN line.meter LIKE '%tokens' THEN 'Tokens'
        WHEN line.meter LIKE '%searches' THEN 'Searches'
        WHEN line.meter LIKE '%seconds' THEN 'Seconds'
        WHEN line.meter LIKE 'request%' THEN 'Requests'
        ELSE 'Units'
    END AS ConsumedUnit,
    line.cost AS ContractedCost,
    line.cost AS EffectiveCost,
    seller AS HostProviderName,
    NULL::VARCHAR AS InvoiceId,
    seller AS InvoiceIssuerName,
    line.cost AS ListCost,
    'Standard' AS PricingCategory,
    CASE
        WHEN line.meter LIKE '%tokens' THEN (line.quantity * 0.000001)::DECIMAL(30, 12)
        ELSE line.quantity::DECIMAL(30, 12)
    END AS PricingQuantity,
    CASE WHEN ConsumedUnit = 'Tokens' THEN '1000000 Tokens' ELSE ConsumedUnit END AS PricingUnit,
    CASE WHEN charge IS NULL THEN 'AI and Machine Learning' ELSE 'Other' END AS ServiceCategory,
    CASE WHEN charge IS NULL THEN 'Model API' ELSE charge END AS ServiceName,
    seller AS ServiceProviderName,
    CASE WHEN charge IS NULL THEN 'Generative AI' ELSE 'Other (Other)' END AS ServiceSubcategory,
    sku AS SkuId,
    replace(line.meter, '_', ' ') AS SkuMeter,
    concat_ws('/', sku, line.meter, service_tier) AS SkuPriceId,
    project AS SubAccountId,
    project AS SubAccountName,
    to_json(map_from_entries(list_filter(
        [
            {'key': 'project', 'value': project}, {'key': 'plan', 'value': plan}, {'key': 'session', 'value': session},
            {'key': 'run', 'value': run}, {'key': 'stage', 'value': stage}, {'key': 'role', 'value': "role"},
            {'key': 'scene', 'value': scene}, {'key': 'task', 'value': task}, {'key': 'quest', 'value': quest},
            {'key': 'analysis', 'value': analysis}, {'key': 'service.name', 'value': service},
            {'key': 'deployment.environment.name', 'value': environment}
        ] || coalesce(map_entries(extra), []),
        lambda entry: entry.value IS NOT NULL
    )))::VARCHAR AS Tags,
    cost_status AS x_CostStatus,
    cost_source AS x_CostSource,
    price_version AS x_PriceVersion,
    service_tier AS x_ServiceTier,
    start_ts AS x_CallStart,
    replace(trace_id::VARCHAR, '-', '') AS x_TraceId,
    printf('%016x', span_id) AS x_SpanId
FROM charged;
