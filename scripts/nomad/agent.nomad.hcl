# A batch job of Nomad: docker's driver, its default seccomp profile, no capability, a read-only root, uid 1000. The box stands on
# the rung `landlock` there (docs/everywhere.md).
job "agent" {
  type = "batch"

  group "agent" {
    restart {
      attempts = 0
      mode     = "fail"
    }

    task "agent" {
      driver = "docker"
      user   = "1000:1000"

      config {
        image           = "registry.example/agent:1"
        command         = "/usr/local/bin/agentbox"
        args            = ["run", "--profile", "ci", "-C", "/alloc/work", "--", "claude", "-p", "Run the tests and fix what fails"]
        readonly_rootfs = true
        cap_drop        = ["ALL"]
        security_opt    = ["no-new-privileges"]
        # The organisation's switch, from the template below.
        volumes         = ["local/agentbox:/etc/agentbox:ro"]
      }

      env {
        HOME           = "/alloc/home"
        XDG_STATE_HOME = "/alloc/data/state"
        TMPDIR         = "/alloc/tmp"
      }

      # Nomad's own token and secrets stay with the client: nothing is written into the task's secrets directory.
      identity {
        env  = false
        file = false
      }

      template {
        destination = "local/agentbox/config.toml"
        data        = <<-TOML
          [[kill-switch.remote]]
          name = "fleet"
          url = "https://switch.corp/agents"
          on-unreachable = "pause"
          grace = "2m"
        TOML
      }

      resources {
        cpu    = 1000
        memory = 4096
      }
    }
  }
}
