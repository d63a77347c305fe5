/** Version of the command and of every package beside it. */
export const VERSION = '0.1.0'
