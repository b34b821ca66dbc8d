# Operations of git, one a line, from which a test draws: BRANCH, SOME (a branch of the test's), FILE, WT (a worktree) and N.
op git switch -q BRANCH
op git checkout -q BRANCH
op git checkout -q -f BRANCH
op git checkout -q --detach BRANCH
op git checkout -q -B SOME BRANCH
op git branch -f SOME BRANCH
op git merge -q --no-edit BRANCH
op git merge -q --no-ff -m mN BRANCH
op git merge -q --squash BRANCH
op git merge --abort
op git rebase -q BRANCH
op git rebase -q --onto BRANCH HEAD~1
op git rebase --abort
op git rebase --skip
op git cherry-pick BRANCH
op git cherry-pick --abort
op git revert --no-edit HEAD
op git revert --abort
op git stash -q
op git stash -q -u
op git stash pop -q
op git stash drop -q
op w FILE N
op w FILE N
op w FILE N
op w new/N N
op git add -A
op git add -u
op git commit -q -m cN
op git commit -q -a -m aN
op git commit -q --amend -m eN
op git commit -q --allow-empty -m nN
op git rm -q -f FILE
op git mv -f FILE src/moved.txt
op git restore FILE
op git restore --staged .
op git checkout -q BRANCH -- FILE
op git checkout -q BRANCH -- .github
op git reset -q --hard
op git reset -q --hard BRANCH
op git reset -q --soft HEAD~1
op git reset -q HEAD~1
op git clean -fdq
op git worktree add -q --detach WT BRANCH
op git worktree add -q -f -B wt-N WT BRANCH
op git -C WT commit -q --allow-empty -m wN
op git -C WT checkout -q --detach BRANCH
op git -C WT merge -q --no-edit BRANCH
op git worktree remove --force WT
op git worktree prune
op git submodule update -q --init
op git submodule update -q --init --force
op git submodule sync -q
op git submodule deinit -q -f sub
op git submodule foreach -q git status
op git -C sub commit -q --allow-empty -m sN
op git -C sub checkout -q HEAD~1
op git -C nested commit -q --allow-empty -m iN
op git gc -q
op git gc -q --prune=now
op git repack -adq
op git pack-refs --all
op git prune
op git tag -f tN BRANCH
op git notes add -f -m nN
op git config user.signingkey kN
op git remote add rN ./nested
op git fetch -q --all
op git branch --unset-upstream
op git update-ref refs/x/SOME BRANCH
op git diff --stat BRANCH
op git log --oneline -3
op git status
op git fsck
op git cat-file -p HEAD:.github/workflows/ci.yml
op git bisect reset
op git sparse-checkout set --cone src .github
op git sparse-checkout disable
