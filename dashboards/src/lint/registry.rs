//! What Grafana 13.2 knows by name. It passes over any other name without a word.

/// Units.
const UNITS: &str = "\
    none string short sishort percent percentunit humidity dB candela hex0x hex sci locale pixel accMS2 accFS2 \
    accG degree radian grad arcmin arcsec areaM2 areaF2 areaMI2 acres hectares flops mflops gflops tflops pflops \
    eflops zflops yflops ppm conppb conngm3 conngNm3 conμgm3 conμgNm3 conmgm3 conmgNm3 congm3 congNm3 conmgdL \
    conmmolL currencyUSD currencyGBP currencyEUR currencyJPY currencyRUB currencyUAH currencyBRL currencyDKK \
    currencyISK currencyNOK currencySEK currencyCZK currencyCHF currencyPLN currencyBTC currencymBTC currencyμBTC \
    currencyZAR currencyINR currencyKRW currencyIDR currencyPHP currencyVND currencyTRY currencyMYR currencyXPF \
    currencyBGN currencyPYG currencyUYU currencyILS bytes decbytes bits decbits kbytes deckbytes mbytes decmbytes \
    gbytes decgbytes tbytes dectbytes pbytes decpbytes pps binBps Bps binbps bps KiBs Kibits KBs Kbits MiBs Mibits \
    MBs Mbits GiBs Gibits GBs Gbits TiBs Tibits TBs Tbits PiBs Pibits PBs Pbits dateTimeAsIso \
    dateTimeAsIsoNoDateIfToday dateTimeAsUS dateTimeAsUSNoDateIfToday dateTimeAsLocal dateTimeAsLocalNoDateIfToday \
    dateTimeAsSystem dateTimeFromNow watt kwatt megwatt gwatt mwatt Wm2 voltamp kvoltamp voltampreact \
    kvoltampreact watth watthperkg kwatth kwattm mwatth amph kamph mamph joule ev amp kamp mamp volt kvolt mvolt \
    dBm mohm ohm kohm Mohm farad µfarad nfarad pfarad ffarad henry mhenry µhenry lumens flowgpm flowcms flowcfs \
    flowcfm litreh flowlpm flowmlpm lux forceNm forcekNm forceN forcekN Hs KHs MHs GHs THs PHs EHs massmg massg \
    masslb masskg masst lengthmm lengthcm lengthin lengthft lengthm lengthkm lengthmi pressurembar pressurebar \
    pressurekbar pressurepa pressurehpa pressurekpa pressurehg pressurepsi radbq radci radgy radrad radsv radmsv \
    radusv radrem radexpckg radr radsvh radmsvh radusvh rotrpm rothz rotkhz rotmhz rotghz rotrads rotdegs celsius \
    fahrenheit kelvin hertz ns µs ms s m h d dtdurationms dtdurations dthms dtdhms timeticks clockms clocks cps \
    ops reqps rps wps iops eps mps recps rowsps cpm opm reqpm rpm wpm epm mpm recpm rowspm velocityms velocitykmh \
    velocitymph velocityknot mlitre litre m3 Nm3 dm3 gallons bool bool_yes_no bool_on_off";

/// What a unit that brings its own text begins with.
const UNIT_PREFIXES: [&str; 7] = ["bool:", "count:", "currency:", "prefix:", "si:", "suffix:", "time:"];

/// Reducers, besides the percentiles `p1` to `p99`.
const REDUCERS: &str = "\
    lastNotNull last firstNotNull first min max mean median variance stdDev sum count countAll range delta step \
    diff logmin allIsZero allIsNull changeCount distinctCount diffperc allValues uniqueValues";

/// Matchers of fields.
const MATCHERS: &str = "\
    byType byTypes numeric time byName byRegexp byNames byRegexpOrNames byFrameRefID first firstTimeField byValue";

/// Transformations.
const TRANSFORMATIONS: &str = "\
    append reduce order organize rename calculateField seriesToColumns seriesToRows merge concatenate \
    labelsToFields filterFields filterFieldsByName filterFrames filterByRefId renameByRegex filterByValue noop \
    ensureColumns groupBy sortBy histogram configFromData rowsToFields prepareTimeSeries convertFieldType \
    convertFrameType fieldLookup heatmap spatial joinByField joinByLabels extractFields groupingToMatrix limit \
    partitionByValues timeSeriesTable transpose formatTime formatString regression smoothing groupToNestedTable";

/// Panels that come with Grafana.
const PANELS: &str = "\
    alertlist annolist alertGroups barchart bargauge candlestick canvas dashlist datagrid debug flamegraph gauge \
    geomap gettingstarted heatmap histogram live logs logstable news nodeGraph piechart row stat state-timeline \
    status-history table text timeseries traces trend welcome xychart";

/// Panels that Grafana had until 11.
const GONE_PANELS: &str = "graph singlestat table-old";

/// Settings of fields that an override may set.
const PROPERTIES: &str = "\
    unit min max decimals displayName noValue links mappings color thresholds description filterable actions \
    fieldMinMax";

/// Settings of fields that the panels add, after `custom.`.
const CUSTOM_PROPERTIES: &str = "\
    axisBorderShow axisCenteredZero axisColorMode axisGridShow axisLabel axisPlacement axisSoftMax axisSoftMin \
    axisWidth align barAlignment barMaxWidth barWidthFactor cellOptions cellOptions.type displayMode drawStyle \
    fillBelowTo fillColor fillOpacity filterable footer gradientMode hidden hideFrom hideFrom.viz insertNulls \
    inspect lineColor lineInterpolation lineStyle lineWidth minWidth neutral pointColor pointShape pointSize \
    pointStrokeWidth pointSymbol scaleDistribution show showPoints showValues spanNulls stacking thresholdsStyle \
    tooltip transform width wrapText";

fn is_one_of(list: &str, name: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == name)
}

pub(super) fn is_unit(unit: &str) -> bool {
    is_one_of(UNITS, unit) || UNIT_PREFIXES.iter().any(|prefix| unit.starts_with(prefix))
}

pub(super) fn is_reducer(reducer: &str) -> bool {
    let percentile = reducer.strip_prefix('p').and_then(|percent| percent.parse::<u8>().ok());
    is_one_of(REDUCERS, reducer) || percentile.is_some_and(|percent| (1..=99).contains(&percent))
}

pub(super) fn is_matcher(matcher: &str) -> bool {
    is_one_of(MATCHERS, matcher)
}

pub(super) fn is_transformation(transformation: &str) -> bool {
    is_one_of(TRANSFORMATIONS, transformation)
}

pub(super) fn is_panel(kind: &str) -> bool {
    is_one_of(PANELS, kind)
}

pub(super) fn is_gone_panel(kind: &str) -> bool {
    is_one_of(GONE_PANELS, kind)
}

pub(super) fn is_property(property: &str) -> bool {
    match property.strip_prefix("custom.") {
        Some(custom) => is_one_of(CUSTOM_PROPERTIES, custom),
        None => is_one_of(PROPERTIES, property),
    }
}
