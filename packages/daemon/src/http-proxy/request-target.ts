/**
 * What a request to the HTTP proxy asks for: a tunnel to `host:port` (CONNECT), or a document by its whole URL (RFC 9112 §3.2); and
 * the name and password that it gives (RFC 7617).
 */
import type { ExitTarget } from '@mixwright/client'
import { isolationKey } from '../isolation-key.js'

/** Of `name:port` or `[IPv6]:port`; undefined when it is neither. */
export function tunnelTarget(authority: string): ExitTarget | undefined {
  const [, v6, named, digits] = /^(?:\[([0-9a-f:.]+)\]|([^\s:@/[\]]+)):(\d{1,5})$/i.exec(authority) ?? []
  const host = v6 ?? named
  return host === undefined ? undefined : { host, port: Number(digits) }
}

export interface DocumentTarget extends ExitTarget {
  /** For the `host` header: without the port when it is 80. */
  readonly authority: string
  /** Path and query, to be asked of the origin. */
  readonly path: string
}

/** Of an absolute `http:` URL; undefined when it is something else. */
export function documentTarget(text: string): DocumentTarget | undefined {
  if (!/^http:\/\//i.test(text) || !URL.canParse(text)) return undefined
  const { hostname, port, host, pathname, search } = new URL(text)
  return {
    host: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? 80 : Number(port),
    authority: host,
    path: `${pathname}${search}`,
  }
}

/** The isolation key of a `proxy-authorization` header; undefined without name and password. */
export function credentialsKey(header: string | undefined): string | undefined {
  const [, base64] = /^basic +([a-z0-9+/=]+)$/i.exec(header ?? '') ?? []
  if (base64 === undefined) return undefined
  const bytes = Buffer.from(base64, 'base64')
  const colon = bytes.indexOf(':')
  return colon < 0
    ? isolationKey(bytes, new Uint8Array())
    : isolationKey(bytes.subarray(0, colon), bytes.subarray(colon + 1))
}
