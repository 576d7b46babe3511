'use strict'
// Use the prebuilt addon when it loads; otherwise build from source.
if (process.env.npm_config_build_from_source !== 'true' && process.env.ZO2_BUILD_FROM_SOURCE !== '1') {
  try { require('node-gyp-build')(require('node:path').join(__dirname, '..')); process.exit(0) } catch (e) { console.error(`[zo2] no usable prebuilt binary (${String(e.message).split('\n')[0]}); building from source`) }
}
require('./build-native.cjs')
