/**
 * `@mixwright/client/tls`: TLS inside a web page, for `createFetch` there. An entry of its own, for it is larger than the client:
 * who fetches over `https:` in a browser imports it, and nobody else pays.
 */
import { type Clock, MixError, type Random, RealClock, SystemRandom } from '@mixwright/runtime'
import type { Tls, TlsOptions } from '../fetch-api.js'
import { Rustls } from './rustls.js'
import { TlsStream } from './tls-stream.js'

export type { Tls, TlsOptions } from '../fetch-api.js'

export interface CreateTlsOptions extends TlsOptions {
  /** Tests only. @default the machine's */
  readonly clock?: Clock
  /** Tests only. @default the operating system's */
  readonly random?: Random
}

/**
 * TLS 1.2 and 1.3 by rustls, with Mozilla's roots inside. Throws `MIX_OPTIONS` where `ca` holds no certificate. Its WebAssembly is
 * unpacked at the first connection.
 */
export function createTls(options: CreateTlsOptions = {}): Tls {
  const { ca, clock = new RealClock(), random = new SystemRandom() } = options
  const roots = ca === undefined ? [] : [ca].flat().flatMap(readPem)
  let rustls: Promise<Rustls> | undefined
  return {
    ...(ca === undefined ? {} : { ca }),
    async open(connection, host) {
      rustls ??= Rustls.load(roots, clock, random)
      const secure = new TlsStream((await rustls).connect(host), connection)
      await secure.opened
      return secure.stream
    },
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g

function readPem(text: string): Uint8Array[] {
  const found = [...text.matchAll(CERTIFICATE)].map(([, base64]) => {
    return Uint8Array.from(atob(base64!.replace(/\s/g, '')), (character) => character.charCodeAt(0))
  })
  if (found.length === 0) throw new MixError('MIX_OPTIONS', 'ca holds no certificate in PEM.', { kind: 'usage' })
  return found
}
