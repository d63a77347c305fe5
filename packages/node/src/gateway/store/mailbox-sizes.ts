/** How much waits in the mailboxes of a gateway, read beside a running one without disturbing it. */
import { existsSync } from 'node:fs'
import { MixError } from '@mixwright/runtime'
import Database from 'libsql'

export interface MailboxSizes {
  /** Clients that ever registered. */
  readonly clients: number
  /** Messages that wait, and their bytes. */
  readonly messages: number
  readonly bytes: number
}

/** Undefined when there is no such file. Error: `MIX_GATEWAY_DATABASE` when it is none of ours. */
export function mailboxSizes(path: string): MailboxSizes | undefined {
  if (!existsSync(path)) return undefined
  let database: InstanceType<typeof Database> | undefined
  try {
    database = new Database(path, { readonly: true })
    const sizes = `SELECT (SELECT count(*) FROM clients) AS clients, count(*) AS messages,
      coalesce(sum(length(content)), 0) AS bytes FROM messages`
    const { clients, messages, bytes } = database.prepare(sizes).get([]) as MailboxSizes
    return { clients, messages, bytes }
  } catch (cause) {
    const message = `The gateway's database ${path} cannot be read: ${(cause as Error).message}`
    throw new MixError('MIX_GATEWAY_DATABASE', message, { kind: 'local', data: { path }, cause })
  } finally {
    database?.close()
  }
}
