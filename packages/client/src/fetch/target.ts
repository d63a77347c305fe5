/** Whom to dial for a URL. */
import type { ExitTarget } from '../exit/exit-api.js'

export function targetOf({ hostname, port, protocol }: URL): ExitTarget {
  const host = hostname.replace(/^\[(.*)\]$/, '$1')
  return { host, port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port) }
}
