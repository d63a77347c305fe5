import { fetchOver } from '../src/fetch/browser-fetch.js'
import { createTls } from '../src/fetch/tls/tls.js'
import { fetchCompliance } from './fetch-compliance.js'

fetchCompliance('the engine for browsers', { fetchOver, tls: (ca) => createTls(ca === undefined ? {} : { ca }) })
